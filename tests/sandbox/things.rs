//! Sources, conversations, checks and deployments.

use greenroom::sandbox::FileChange;
use serde_json::{Value, json};

use crate::assert_documented;
use crate::client::{DELETE, GET, PATCH, POST, Stage};

#[tokio::test]
async fn the_source_can_be_read() {
    let stage = Stage::new().await;
    let (hub, shop) = (&stage.hub, &stage.shop);
    let base = hub.branch_head(shop, "main").unwrap();
    let changes = [
        FileChange::write("app/main.py", "print('two')\n"),
        FileChange::write("docs/README.md", "# Shop\n"),
        FileChange::remove("README.md"),
        FileChange::write(".github/greenroom.yml", "version: 1\n".repeat(20)),
    ];
    let head = hub.push(shop, "feature/two", changes, "Two").unwrap();
    let number = hub.open_pull(shop, "feature/two", "Two").unwrap();

    let branch = stage.get("/repos/acme/shop/branches/feature/two").await;
    assert_eq!(branch.json["commit"]["sha"], head.as_str());
    assert_eq!(stage.get("/repos/acme/shop/branches/none").await.status, 404);
    let reference = stage.get("/repos/acme/shop/git/ref/heads/feature/two").await;
    assert_eq!(reference.json["object"]["sha"], head.as_str());
    let commit = stage.get("/repos/acme/shop/commits/feature%2Ftwo").await;
    assert_eq!(commit.json["parents"][0]["sha"], base.as_str());
    let short = stage.get_with("/repos/acme/shop/commits/main", ("accept", "application/vnd.github.sha")).await;
    assert_eq!(short.bytes, base.as_str());
    assert_eq!(stage.get("/repos/acme/shop/commits/none").await.status, 422);

    let file = format!("/repos/acme/shop/contents/.github/greenroom.yml?ref={head}");
    let encoded = stage.get(&file).await.json["content"].as_str().unwrap().to_owned();
    assert!(encoded.trim_end().contains('\n'), "GitHub wraps base64");
    let raw = stage.get_with(&file, ("accept", "application/vnd.github.raw+json")).await;
    assert_eq!(raw.bytes, "version: 1\n".repeat(20));
    assert_eq!(stage.get("/repos/acme/shop/contents/.github/greenroom.yml").await.status, 404, "not on main");
    assert_eq!(stage.get("/repos/acme/shop/contents/app").await.json[0]["type"], "file");

    let compared = stage.get(&format!("/repos/acme/shop/compare/{base}...{head}")).await.json;
    assert_eq!((&compared["status"], &compared["ahead_by"]), (&"ahead".into(), &1.into()));
    let files = compared["files"].as_array().unwrap();
    let seen: Vec<_> = files.iter().map(|file| (file["filename"].as_str().unwrap(), &file["status"])).collect();
    let (added, modified, renamed) = ("added".into(), "modified".into(), "renamed".into());
    let wanted = [(".github/greenroom.yml", &added), ("app/main.py", &modified), ("docs/README.md", &renamed)];
    assert_eq!(seen, wanted);
    assert_eq!(files[2]["previous_filename"], "README.md");

    let pull = stage.get(&format!("/repos/acme/shop/pulls/{number}")).await.json;
    assert_eq!((&pull["head"]["sha"], &pull["changed_files"]), (&head.as_str().into(), &3.into()));
    assert_eq!(stage.get("/repos/acme/shop/pulls?state=open&per_page=100").await.json[0]["number"], 1);
    assert_eq!(stage.get("/repos/acme/shop/pulls?state=closed").await.json, json!([]));
    assert_documented(&stage);
}

#[tokio::test]
async fn the_tarball_is_a_real_archive_under_one_folder() {
    let stage = Stage::new().await;
    let head = stage.hub.branch_head(&stage.shop, "main").unwrap();
    let redirect = stage.get(&format!("/repos/acme/shop/tarball/{head}")).await;
    assert_eq!(redirect.status, 302);
    let archive = stage.ask(GET, redirect.header("location"), None, &[]).await;
    assert_eq!(archive.header("content-type"), "application/x-gzip");
    let mut files = tar::Archive::new(flate2::read::GzDecoder::new(&archive.bytes[..]));
    let entries: Vec<(String, u32)> = files
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.header().entry_type().is_file())
        .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap()))
        .collect();
    let top = format!("acme-shop-{}", head.short());
    let wanted = [("README.md", 0o664), ("app/main.py", 0o664), ("run.sh", 0o775)];
    assert_eq!(entries, wanted.map(|(path, mode)| (format!("{top}/{path}"), mode)));
    assert_documented(&stage);
}

#[tokio::test]
async fn a_conversation_has_comments_and_reactions() {
    let stage = Stage::new().await;
    let (hub, shop) = (&stage.hub, &stage.shop);
    hub.commit(shop, "two", [("a", "b")], "Two").unwrap();
    let number = hub.open_pull(shop, "two", "Two").unwrap();
    let said = hub.comment(shop, number, "ada", "/plan").unwrap();
    let comments = format!("/repos/acme/shop/issues/{number}/comments");
    let made = stage.send(POST, &comments, Some(json!({ "body": "**Hello**" }))).await;
    assert_eq!((made.status, &made.json["user"]["type"]), (201, &"Bot".into()));
    let own = format!("/repos/acme/shop/issues/comments/{}", made.json["id"]);
    let edited = stage.send(PATCH, &own, Some(json!({ "body": "Bye" }))).await;
    assert_eq!((edited.status, &edited.json["body"]), (200, &"Bye".into()));
    assert_eq!(stage.get(&own).await.json["body"], "Bye");
    assert_eq!(hub.comments(shop, number)[1].edits, 1);

    let reactions = format!("/repos/acme/shop/issues/comments/{said}/reactions");
    let eyes = Some(json!({ "content": "eyes" }));
    let first = stage.send(POST, &reactions, eyes.clone()).await;
    assert_eq!((first.status, stage.send(POST, &reactions, eyes).await.status), (201, 200), "once is enough");
    assert_eq!(stage.get(&reactions).await.json.as_array().unwrap().len(), 1);
    assert_eq!(hub.reactions(shop, said)[0].content, "eyes");
    let reaction = format!("{reactions}/{}", first.json["id"]);
    assert_eq!(stage.send(DELETE, &reaction, None).await.status, 204);
    assert_eq!(stage.send(POST, &reactions, Some(json!({ "content": "wow" }))).await.status, 422);

    for count in 0..33 {
        hub.comment(shop, number, "ada", &format!("and {count}")).unwrap();
    }
    let page = stage.get(&comments).await;
    assert_eq!(page.json.as_array().unwrap().len(), 30);
    let links = page.header("link");
    assert!(links.contains("page=2>; rel=\"next\"") && links.contains("rel=\"last\""), "{links}");
    let next = links.split_once('<').unwrap().1.split_once('>').unwrap().0;
    assert_eq!(stage.get(next).await.json.as_array().unwrap().len(), 5);

    assert_eq!(stage.send(DELETE, &own, None).await.status, 204);
    assert_eq!(stage.send(PATCH, &own, Some(json!({ "body": "gone" }))).await.status, 404);
    assert_eq!(stage.send(POST, &comments, Some(json!({ "body": "x".repeat(65_537) }))).await.status, 422);
    assert_eq!(stage.send(POST, "/repos/acme/shop/issues/99/comments", Some(json!({ "body": "x" }))).await.status, 404);

    let page = stage.ask(GET, &hub.pull_url(shop, number), None, &[]).await;
    let html = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(page.status == 200 && html.contains("Two <small>#1</small>") && html.contains("and 32"), "{html}");
    assert_eq!(page.header("content-security-policy").split(';').next(), Some("default-src 'none'"));
    assert_documented(&stage);
}

#[tokio::test]
async fn checks_have_a_life() {
    let stage = Stage::new().await;
    let head = stage.hub.branch_head(&stage.shop, "main").unwrap();
    let runs = "/repos/acme/shop/check-runs";
    let body = json!({
        "name": "greenroom / pr-1", "head_sha": head, "status": "in_progress", "external_id": "pr-1:1",
        "details_url": "http://127.0.0.1/", "output": { "title": "Building", "summary": "web" },
    });
    let made = stage.send(POST, runs, Some(body)).await;
    assert_eq!((made.status, &made.json["conclusion"]), (201, &Value::Null));
    let run = format!("{runs}/{}", made.json["id"]);
    let done = stage.send(PATCH, &run, Some(json!({ "conclusion": "success" }))).await;
    assert_eq!((&done.json["status"], &done.json["external_id"]), (&"completed".into(), &"pr-1:1".into()));
    assert_eq!(stage.get(&run).await.json["output"]["title"], "Building");
    let list = format!("/repos/acme/shop/commits/{head}/check-runs?check_name=greenroom%20%2F%20pr-1&filter=latest");
    assert_eq!(stage.get(&list).await.json["total_count"], 1);
    assert_eq!(stage.hub.checks(&stage.shop, &head)[0].conclusion.as_deref(), Some("success"));
    let unfinished = json!({ "name": "x", "head_sha": head, "status": "completed" });
    assert_eq!(stage.send(POST, runs, Some(unfinished)).await.status, 422);
    let nowhere = json!({ "name": "x", "head_sha": "0".repeat(40) });
    assert_eq!(stage.send(POST, runs, Some(nowhere)).await.status, 422);
    assert_documented(&stage);
}

#[tokio::test]
async fn deployments_and_their_environment() {
    let stage = Stage::new().await;
    let (hub, shop) = (&stage.hub, &stage.shop);
    let head = hub.branch_head(shop, "main").unwrap();
    let all = "/repos/acme/shop/deployments";
    let body = |environment: &str, transient: bool| {
        Some(json!({
            "ref": head, "environment": environment, "auto_merge": false, "required_contexts": [],
            "payload": { "greenroom": "key" }, "transient_environment": transient, "description": "Greenroom",
        }))
    };
    let made = stage.send(POST, all, body("pr-1", true)).await;
    assert_eq!((made.status, hub.environments(shop)[0].name.as_str()), (201, "pr-1"));
    let one = format!("{all}/{}", made.json["id"]);
    let statuses = format!("{one}/statuses");
    let live = json!({ "state": "success", "environment_url": "http://pr-1.localhost", "log_url": "http://l/" });
    assert_eq!(stage.send(POST, &statuses, Some(live)).await.status, 201);
    assert_eq!(stage.get(&statuses).await.json[0]["environment_url"], "http://pr-1.localhost");
    assert_eq!(stage.get(&one).await.json["payload"]["greenroom"], "key");
    assert_eq!(stage.get(&format!("{all}?environment=pr-1&sha={head}")).await.json.as_array().unwrap().len(), 1);
    assert_eq!(stage.get(&format!("{all}?environment=other")).await.json, json!([]));

    for _ in 0..2 {
        let dev = stage.send(POST, all, body("dev", false)).await.json["id"].clone();
        stage.send(POST, &format!("{all}/{dev}/statuses"), Some(json!({ "state": "success" }))).await;
    }
    let states: Vec<String> = hub.deployments(shop).iter().map(|one| one.state().to_owned()).collect();
    assert_eq!(states, ["success", "inactive", "success"], "only the earlier one that is not transient");
    let id = hub.deployments(shop)[1].id;
    assert_eq!(hub.statuses(shop, id).len(), 2);

    assert_eq!(stage.send(DELETE, &one, None).await.status, 422, "it is active");
    stage.send(POST, &statuses, Some(json!({ "state": "inactive" }))).await;
    assert_eq!(stage.send(DELETE, &one, None).await.status, 204);
    assert_eq!(stage.get("/repos/acme/shop/environments").await.json["total_count"], 2, "environments stay");
    assert_eq!(stage.send(DELETE, "/repos/acme/shop/environments/pr-1", None).await.status, 204);
    assert_eq!(stage.send(DELETE, "/repos/acme/shop/environments/pr-1", None).await.status, 404);
    assert_eq!(hub.environments(shop).len(), 1);
    let long = json!({ "state": "success", "description": "x".repeat(141) });
    assert_eq!(stage.send(POST, &format!("{all}/{id}/statuses"), Some(long)).await.status, 422);
    assert_documented(&stage);
}

#[tokio::test]
async fn deployments_have_githubs_two_traps() {
    let stage = Stage::new().await;
    let (hub, shop, all) = (&stage.hub, &stage.shop, "/repos/acme/shop/deployments");
    hub.commit(shop, "topic", [("topic", "1")], "Topic").unwrap();
    let head = hub.commit(shop, "main", [("main", "2")], "Main moves on").unwrap();
    let merged = stage.send(POST, all, Some(json!({ "ref": "topic" }))).await;
    assert_eq!(merged.status, 202, "GitHub merges instead of deploying");
    let check = json!({ "name": "ci", "head_sha": head });
    stage.send(POST, "/repos/acme/shop/check-runs", Some(check)).await;
    let refused = stage.send(POST, all, Some(json!({ "ref": head }))).await;
    assert_eq!(refused.status, 409, "a check has not passed");
    assert_eq!(hub.deployments(shop), []);
    assert_documented(&stage);
}
