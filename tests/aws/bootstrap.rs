//! What lets a repository's jobs in, made on MiniStack.
//!
//! Its CloudFormation knows no provider of identities, so that one is made beforehand by IAM's own call, with
//! the tag of ours or without; the linter reads the template that makes one.

use aws_sdk_iam::types::Tag;
use greenroom::aws::AwsCloud;
use greenroom::aws::bootstrap::{
    BootstrapOrder, BootstrapReport, CommandReach, PermanentStage, Removed, StateFate, bootstrap_template,
};
use greenroom::model::{AwsTarget, Branch, Issuer, RepoId, RepoIdentity, StageKind, UserId};
use greenroom::port::{PortError, PortResult};

use crate::desk::{Desk, Make, cloud, settle, slots};
use crate::faulty::{Faulty, Mishap};

const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";
const PROVIDER: &str = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com";
const BUCKET: &str = "greenroom-state-000000000000-us-east-1";

pub(crate) fn order() -> BootstrapOrder {
    let stage = |name: &str, branch: &str, kind, base: &str| PermanentStage {
        name: name.parse().expect("a stage"),
        branch: Branch(branch.into()),
        kind,
        base: Some(base.into()),
        reach: CommandReach::No,
    };
    BootstrapOrder {
        app: "shop".parse().expect("an app"),
        repo: RepoIdentity {
            spelling: "Acme/Shop".into(),
            id: RepoId(774),
            owner_id: UserId(12),
            default_branch: Branch("main".into()),
            prefix: None,
        },
        issuer: Issuer::default(),
        preview_base: Some("shop.test".into()),
        preview_names: vec!["pr-*".into()],
        stages: vec![
            stage("prod", "main", StageKind::Production, "shop.test"),
            stage("dev", "dev", StageKind::Permanent, "dev.shop.test"),
        ],
        build_actor: None,
    }
}

/// Another repository of the account.
fn till() -> BootstrapOrder {
    let repo = RepoIdentity { spelling: "acme/till".into(), id: RepoId(775), ..order().repo };
    BootstrapOrder { app: "till".parse().expect("an app"), repo, stages: Vec::new(), ..order() }
}

fn target() -> AwsTarget {
    AwsTarget { region: REGION.into(), account: ACCOUNT.into(), role: None }
}

/// Whose the account's provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Ours,
    Somebodys,
}

struct Account {
    desk: Desk,
    iam: aws_sdk_iam::Client,
    s3: aws_sdk_s3::Client,
}

impl Account {
    async fn new(provider: Provider, audiences: &[&str]) -> Self {
        let desk = Desk::new().await;
        let config = desk.ministack.config().await;
        let iam = aws_sdk_iam::Client::new(&config);
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let account = Self { desk, iam, s3 };
        account.make_provider(provider, audiences).await;
        account
    }

    async fn make_provider(&self, provider: Provider, audiences: &[&str]) {
        let tag = Tag::builder().key("greenroom:owner").value("greenroom").build().expect("a tag");
        let made = self
            .iam
            .create_open_id_connect_provider()
            .url("https://token.actions.githubusercontent.com")
            .set_client_id_list(Some(audiences.iter().map(|one| (*one).to_owned()).collect()))
            .set_tags((provider == Provider::Ours).then(|| vec![tag]));
        made.send().await.expect("a provider");
    }

    async fn deploy(&self, order: &BootstrapOrder) -> PortResult<BootstrapReport> {
        deploy(&self.desk.cloud, order).await
    }

    async fn remove(&self, order: &BootstrapOrder, state: StateFate) -> Removed {
        let to = target();
        settle(|| self.desk.cloud.remove_bootstrap(order, &to, state)).await.expect("it goes")
    }

    async fn roles(&self) -> Vec<String> {
        let answer = self.iam.list_roles().send().await.expect("roles");
        let names = answer.roles().iter().map(|role| role.role_name().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("greenroom-")).collect();
        names.sort();
        names
    }

    async fn has_provider(&self) -> bool {
        self.iam.get_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER).send().await.is_ok()
    }

    async fn has_bucket(&self) -> bool {
        self.s3.head_bucket().bucket(BUCKET).send().await.is_ok()
    }

    async fn put(&self, key: &str) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"state");
        self.s3.put_object().bucket(BUCKET).key(key).body(body).send().await.expect("put");
    }
}

async fn deploy(cloud: &AwsCloud, order: &BootstrapOrder) -> PortResult<BootstrapReport> {
    let to = target();
    settle(|| cloud.deploy_bootstrap(order, &to)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_once_and_asked_for_again_changes_nothing() {
    let account = Account::new(Provider::Somebodys, &["sts.amazonaws.com"]).await;
    let (report, changes) = account.desk.cloud.plan_bootstrap(&order(), &target()).await.expect("a plan");
    assert_eq!(report.adopted, ["the provider of identities"]);
    assert!(
        account.roles().await.is_empty() && changes.iter().any(|change| change.name == "PreviewDoor"),
        "a plan makes nothing"
    );
    assert!(changes.iter().all(|change| change.name != "IdentityProvider"), "{changes:?}");

    let made = account.deploy(&order()).await.expect("it is made");
    let roles = [
        "greenroom-shop-build",
        "greenroom-shop-commands",
        "greenroom-shop-deploy-permanent",
        "greenroom-shop-deploy-preview",
        "greenroom-shop-deploy-production",
        "greenroom-shop-permanent-dev",
        "greenroom-shop-permanent-prod",
        "greenroom-shop-preview",
    ];
    assert_eq!(account.roles().await, roles);
    assert!(account.has_bucket().await && made.bucket == BUCKET);
    let versions = account.s3.get_bucket_versioning().bucket(BUCKET).send().await.expect("an answer");
    assert_eq!(versions.status().map(|status| status.as_str().to_owned()).as_deref(), Some("Enabled"));
    let role = account.iam.get_role().role_name("greenroom-shop-preview").send().await.expect("a role");
    let role = role.role().cloned().expect("a role");
    assert_eq!(role.arn(), made.doors[0].arn, "what is told is what is there");
    let trust = role.assume_role_policy_document().unwrap_or_default();
    let trust = percent_encoding::percent_decode_str(trust).decode_utf8_lossy().into_owned();
    assert!(trust.contains(PROVIDER) && trust.contains("repo:Acme@12/Shop@774:pull_request"), "{trust}");

    let before = account.desk.stacks().await;
    let again = account.deploy(&order()).await.expect("it is there");
    assert_eq!((again.doors, account.desk.stacks().await), (made.doors, before));
    let (_, changes) = account.desk.cloud.plan_bootstrap(&order(), &target()).await.expect("a plan");
    assert_eq!(changes, [], "nothing would change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_more_or_less_changes_its_roles_alone() {
    let account = Account::new(Provider::Ours, &["sts.amazonaws.com"]).await;
    let mut order = order();
    order.stages.truncate(1);
    account.deploy(&order).await.expect("it is made");
    assert!(!account.roles().await.contains(&"greenroom-shop-permanent-dev".to_owned()));
    account.deploy(&self::order()).await.expect("a stage more");
    assert!(account.roles().await.contains(&"greenroom-shop-permanent-dev".to_owned()));
    account.deploy(&order).await.expect("a stage less");
    assert!(!account.roles().await.contains(&"greenroom-shop-permanent-dev".to_owned()));
    assert!(account.has_bucket().await && account.has_provider().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_use_stays_and_what_nobody_uses_goes() {
    let account = Account::new(Provider::Ours, &["sts.amazonaws.com", "else"]).await;
    account.deploy(&order()).await.expect("the first is made");
    let second = account.deploy(&till()).await.expect("the second is made");
    assert_eq!(second.adopted.len(), 3, "{:?}", second.adopted);
    account.put("774.db").await;
    account.put("775.db").await;

    let removed = account.remove(&order(), StateFate::Stays).await;
    let kept: Vec<&str> = removed.kept.iter().map(|kept| kept.why.as_str()).collect();
    assert_eq!(kept.len(), 3, "{removed:?}");
    assert!(kept[0].contains("greenroom-till-") && kept[2] == "state is in it", "{kept:?}");
    assert!(account.roles().await.iter().all(|role| role.starts_with("greenroom-till-")));
    assert!(account.has_provider().await && account.has_bucket().await, "the second goes on working");
    account.deploy(&till()).await.expect("it is as it was");

    let removed = account.remove(&till(), StateFate::Goes).await;
    assert!(!account.has_provider().await, "nobody uses it: {removed:?}");
    assert!(account.has_bucket().await, "the first one's state was not asked to go");
    let removed = account.remove(&order(), StateFate::Goes).await;
    assert!(removed.kept.is_empty() && !account.has_bucket().await, "{removed:?}");
    let again = account.remove(&order(), StateFate::Goes).await;
    assert!(again.kept.is_empty(), "asked for again: {again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_ours_is_never_deleted() {
    let account = Account::new(Provider::Somebodys, &["sts.amazonaws.com"]).await;
    account.deploy(&till()).await.expect("it is made");
    let removed = account.remove(&till(), StateFate::Stays).await;
    assert!(account.has_provider().await && account.roles().await.is_empty());
    assert_eq!(removed.kept[0].why, "this Greenroom did not make it");
    assert!(!account.has_bucket().await, "an empty bucket goes: {removed:?}");
    account.deploy(&till()).await.expect("it is made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_do_is_said_before_anything_is_made() {
    let account = Account::new(Provider::Somebodys, &["https://github.com/acme"]).await;
    let Err(PortError::Failed(failure)) = account.deploy(&order()).await else { panic!("a failure") };
    assert!(failure.summary.contains("not for the audience sts.amazonaws.com"), "{failure:?}");
    assert!(failure.advice.contains("add-client-id-to-open-id-connect-provider") && failure.advice.contains(PROVIDER));
    let other = AwsTarget { account: "111111111111".into(), ..target() };
    let Err(PortError::Denied { reason }) = account.desk.cloud.plan_bootstrap(&order(), &other).await else {
        panic!("another account")
    };
    assert!(reason.contains("111111111111"), "{reason}");
    assert!(account.desk.stacks().await.is_empty() && account.roles().await.is_empty());
}

/// What changes something, as the door to AWS names it.
const EFFECTS: [&str; 4] =
    ["cloudformation:CreateStack", "cloudformation:DeleteStack", "iam:DeleteOpenIDConnectProvider", "iam:DeletePolicy"];

async fn there_and_back(cloud: &AwsCloud) -> PortResult<Removed> {
    deploy(cloud, &till()).await?;
    let (order, to) = (till(), target());
    settle(|| cloud.remove_bootstrap(&order, &to, StateFate::Stays)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_at_an_effect_goes_on_by_asking_again() {
    let account = Account::new(Provider::Ours, &["sts.amazonaws.com"]).await;
    let faulty = Faulty::start(account.desk.ministack.port()).await;
    let greenroom = cloud(&faulty.url(), slots(), Make::Plain).await;
    there_and_back(&greenroom).await.expect("nothing happens to it");
    account.make_provider(Provider::Ours, &["sts.amazonaws.com"]).await;
    let erased = faulty.calls().into_iter().find(|call| call.starts_with("s3:DELETE /greenroom-state-"));
    let erased = erased.expect("the empty bucket is deleted");
    for mishap in [Mishap::DeadBefore, Mishap::DeadAfter, Mishap::Unheard] {
        for effect in EFFECTS.into_iter().chain([erased.as_str()]) {
            faulty.forget();
            faulty.order_of(mishap, effect, 1);
            let greenroom = cloud(&faulty.url(), slots(), Make::Plain).await;
            let first = there_and_back(&greenroom).await;
            assert_eq!(faulty.hit().as_deref(), Some(effect), "{mishap:?}: {:?} {first:?}", faulty.calls());
            faulty.mend();
            // A new process, which knows nothing.
            let greenroom = cloud(&faulty.url(), slots(), Make::Plain).await;
            if effect == EFFECTS[0] {
                deploy(&greenroom, &till()).await.expect("it goes on");
            }
            let (order, to) = (till(), target());
            let gone = settle(|| greenroom.remove_bootstrap(&order, &to, StateFate::Stays)).await;
            gone.expect("it goes on");
            assert!(account.roles().await.is_empty(), "{mishap:?} at {effect}");
            assert!(!account.has_bucket().await && !account.has_provider().await, "{mishap:?} at {effect}");
            account.make_provider(Provider::Ours, &["sts.amazonaws.com"]).await;
        }
    }
}

#[test]
fn the_text_is_the_same_each_time() {
    let [one, two] = [0, 1].map(|_| bootstrap_template("greenroom", &order()).expect("a text"));
    assert!(one == two);
}
