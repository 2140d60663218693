//! What the workflow is given, and what is said of what comes to nothing.

use super::*;
use crate::model::{
    BUILD_JOBS, BUILD_WORKFLOW_NAME, Builds, BuiltBy, Health, Place, Platform, RunnerLabels, Runners, Scale, Size,
};

fn spec(platform: Option<Platform>) -> ImageSpec {
    let args = BTreeMap::from([("API_URL".to_owned(), "https://a?b=\"c\"\nd".to_owned())]);
    ImageSpec { context: "apps/web".into(), dockerfile: "Dockerfile".into(), target: None, platform, args }
}

fn service(spec: ImageSpec) -> ServiceSpec {
    let seconds = Seconds(1);
    ServiceSpec {
        name: "web".parse().expect("a name"),
        runtime: Runtime::Image(spec),
        port: None,
        host: None,
        url: None,
        size: Size { cpu: 256, memory: 512 },
        scale: Scale { min: 1, max: 1, cpu: None, memory: None },
        health: Health {
            path: "/".into(),
            status: 200,
            interval: seconds,
            timeout: seconds,
            healthy: 1,
            unhealthy: 1,
            grace: seconds,
        },
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        migrate: None,
        needs: Vec::new(),
        paths: Vec::new(),
        drain: seconds,
        canary: None,
        edition: None,
    }
}

fn given(trust: Trust, platform: Option<Platform>) -> BTreeMap<&'static str, String> {
    let stage = StageId { repo: "acme/shop".parse().expect("a name"), name: "pr-42".parse().expect("a name") };
    let (sha, service) = ("a".repeat(40).parse().expect("a commit"), service(spec(platform)));
    let runners = Runners { amd64: Some(RunnerLabels::One("big".into())), arm64: None };
    let (place, builds) = (Place::default(), Builds { by: BuiltBy::Actions, runners });
    let job = BuildJob {
        stage: &stage,
        place: &place,
        sha: &sha,
        trust,
        service: &service,
        generation: Generation(7),
        builds: &builds,
        source: None,
    };
    let to = Destination {
        address: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/greenroom/acme/shop/web",
        tag: "c-0123",
        cache: Some("registry.example/cache"),
    };
    order::inputs(&job, &spec(platform), &order::nonce(&job, &to), &to, Seconds(3_601))
}

#[test]
fn the_workflow_is_given_no_more_than_github_takes() {
    let inputs = given(Trust::Preview, None);
    assert!(inputs.len() <= 25, "{} inputs", inputs.len());
    let shown: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

/// What a file that users copy asks for is what it is given, so that neither is changed alone.
#[test]
fn the_workflow_knows_each_input_and_no_other() {
    let file = include_str!("../../../workflows/greenroom-build.yml");
    let (_, rest) = file.split_once("\n    inputs:\n").expect("it has inputs");
    let names = rest.lines().take_while(|line| line.starts_with("      "));
    let mut names: Vec<&str> =
        names.filter_map(|line| line.trim_start().split_once(':')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, given(Trust::Preview, None).into_keys().collect::<Vec<_>>());
    assert!(file.lines().any(|line| line == format!("name: {BUILD_WORKFLOW_NAME}")), "its jobs' events have this name");
    let jobs = file.lines().filter_map(|line| line.strip_prefix("    name: "));
    assert_eq!(jobs.collect::<Vec<_>>(), BUILD_JOBS, "gates know its checks by them");
    let title = file.lines().find_map(|line| line.strip_prefix("run-name: ")).expect("its runs have a name");
    assert!(title.ends_with("[${{ inputs.nonce }}]"), "{title}");
    assert!(title.contains(" ${{ inputs.service }} of "), "a service's log is found by it: {title}");
}

#[test]
fn a_stranger_s_build_has_no_cache_and_no_machine_of_the_repository_s() {
    let fork = given(Trust::Fork, None);
    assert_eq!((fork["cache"].as_str(), fork["runs-on"].as_str()), ("", "\"ubuntu-24.04\""));
    let own = given(Trust::Permanent, None);
    assert!(own["cache"].starts_with("registry.example/cache:permanent-"), "{}", own["cache"]);
    assert_eq!(own["runs-on"], "\"big\"");
    let arm = given(Trust::Permanent, Some(Platform::LinuxArm64));
    assert_eq!((arm["runs-on"].as_str(), arm["platform"].as_str()), ("\"ubuntu-24.04-arm\"", "linux/arm64"));
    assert_ne!(fork["cache"], own["cache"]);
}

#[test]
fn each_end_is_told_with_what_to_do() {
    let name = "web".parse().expect("a name");
    let ends = [
        Trouble::NeverListed,
        Trouble::Deleted,
        Trouble::NoImage,
        Trouble::Ended(Conclusion::Failure),
        Trouble::Ended(Conclusion::Cancelled),
        Trouble::Ended(Conclusion::TimedOut),
        Trouble::Ended(Conclusion::StartupFailure),
        Trouble::Ended(Conclusion::ActionRequired),
    ];
    let told = ends.map(|trouble| {
        let error = explain::failure(&name, trouble, Some("https://github.com/acme/shop/actions/runs/9"), Vec::new());
        let PortError::Failed(failure) = error else { panic!("{trouble:?} is a failure") };
        format!("{}\n  {}", failure.summary, failure.advice)
    });
    insta::assert_snapshot!(told.join("\n"));
}
