//! The stage props of the tests on AWS: MiniStack, the load balancer's part before it, and the door
//! that fails on order.

use std::net::SocketAddr;

use crate::edge::{Edge, Targets};
use crate::estate::Estate;
use crate::faulty::{Faulty, Mishap};
use crate::ministack::{ACCOUNT, Containers, MiniStack, config};
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_elasticloadbalancingv2::Client as Balancers;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, HostHeaderConditionConfig, ProtocolEnum, RuleCondition, TargetDescription, TargetTypeEnum,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn two_at_once_know_nothing_of_each_other() {
    let (one, other) = tokio::join!(MiniStack::start(Containers::Pretended), MiniStack::start(Containers::Pretended));
    let ecs = aws_sdk_ecs::Client::new(&one.config().await);
    let made = ecs.create_cluster().cluster_name("one").send().await.expect("a cluster");
    let arn = made.cluster().and_then(|cluster| cluster.cluster_arn()).expect("an ARN");
    assert!(arn.contains(ACCOUNT), "{arn}");
    let other = aws_sdk_ecs::Client::new(&other.config().await);
    assert_eq!(other.list_clusters().send().await.expect("a list").cluster_arns(), Vec::<String>::new());
    assert_eq!((one.containers(), one.images()), (Vec::new(), Vec::new()), "{}", one.log());
    one.reset().await;
    assert_eq!(ecs.list_clusters().send().await.expect("a list").cluster_arns(), Vec::<String>::new());
}

/// A program that answers every connection with this body, and counts nothing.
async fn program(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    address
}

/// A target group with a rule for a host, behind a load balancer of its own.
async fn published(elb: &Balancers, host: &str) -> String {
    let balancer = elb.create_load_balancer().name("edge").send().await.expect("a load balancer");
    let balancer = balancer.load_balancers().first().and_then(|it| it.load_balancer_arn()).expect("an ARN").to_owned();
    let group = elb.create_target_group().name("web").protocol(ProtocolEnum::Http).port(80);
    let group = group.target_type(TargetTypeEnum::Ip).health_check_path("/health").send().await.expect("a group");
    let group = group.target_groups().first().and_then(|it| it.target_group_arn()).expect("an ARN").to_owned();
    let forward = || Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(&group).build();
    let listener = elb.create_listener().load_balancer_arn(balancer).protocol(ProtocolEnum::Http).port(80);
    let listener = listener.default_actions(forward()).send().await.expect("a listener");
    let listener = listener.listeners().first().and_then(|it| it.listener_arn()).expect("an ARN").to_owned();
    let hosts = HostHeaderConditionConfig::builder().values(host).build();
    let condition = RuleCondition::builder().field("host-header").host_header_config(hosts).build();
    let rule = elb.create_rule().listener_arn(listener).priority(7).conditions(condition).actions(forward());
    rule.send().await.expect("a rule");
    group
}

fn target(address: SocketAddr) -> TargetDescription {
    TargetDescription::builder().id(address.ip().to_string()).port(address.port().into()).build()
}

/// As a client that knows of a proxy asks.
async fn ask(edge: &Edge, host: &str) -> String {
    let mut stream = TcpStream::connect(edge.address).await.expect("the edge listens");
    let request = format!("GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    format!("{status} {}", answer.rsplit("\r\n").next().unwrap_or_default().trim())
}

async fn until_answered(edge: &Edge, host: &str, wanted: &str) {
    let whole = async { while ask(edge, host).await != wanted {} };
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, whole).await.unwrap_or_else(|_| panic!("{host} never answers {wanted:?}"));
}

#[tokio::test]
async fn the_edge_leads_where_rules_and_targets_say() {
    let aws = MiniStack::start(Containers::Pretended).await;
    let config = aws.config().await;
    let elb = Balancers::new(&config);
    let edge = Edge::start(&config, Targets::Registered).await;
    assert_eq!(ask(&edge, "pr-1.example.test").await, "404 no rule for this host");
    let group = published(&elb, "pr-1.example.test").await;
    until_answered(&edge, "pr-1.example.test", "503 no healthy target").await;
    assert_eq!(ask(&edge, "pr-2.example.test").await, "404 no rule for this host");

    // MiniStack calls every target healthy; one that does not answer gets no request all the same.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_at = silent.local_addr().expect("an address");
    drop(silent);
    let register = || elb.register_targets().target_group_arn(&group);
    register().targets(target(silent_at)).send().await.expect("a target");
    assert_eq!(ask(&edge, "pr-1.example.test").await, "503 no healthy target");
    // It knows a target by its address without the port, and takes none twice.
    elb.deregister_targets().target_group_arn(&group).targets(target(silent_at)).send().await.expect("it goes");
    register().targets(target(program("one").await)).send().await.expect("a target");
    until_answered(&edge, "PR-1.example.test", "200 one").await;

    let estate = Estate::read(&config, "greenroom", "acme").await;
    assert_eq!(estate.rules, ["007 pr-1.example.test"]);
    assert_eq!(estate.lines(), [format!("target group {group}"), "rule 007 pr-1.example.test".to_owned()]);
    let pretending = Edge::start(&config, Targets::Pretended).await;
    assert_eq!(ask(&pretending, "pr-1.example.test").await, "200 pretended");
    assert_eq!(ask(&pretending, "pr-2.example.test").await, "404 no rule for this host");
}

#[tokio::test]
async fn the_faulty_door_fails_once_as_ordered_in_the_words_of_each_protocol() {
    let aws = MiniStack::start(Containers::Pretended).await;
    let door = Faulty::start(aws.port()).await;
    let config = config(&door.url()).await.into_builder();
    let config = config.retry_config(aws_config::retry::RetryConfig::disabled()).build();
    let (ecs, stacks) = (aws_sdk_ecs::Client::new(&config), aws_sdk_cloudformation::Client::new(&config));
    let cluster = |name: &str| ecs.create_cluster().cluster_name(name).send();
    for (mishap, json, query) in [
        (Mishap::Throttled, Some("ThrottlingException"), Some("Throttling")),
        (Mishap::Broken, Some("InternalFailure"), Some("InternalFailure")),
        (Mishap::Denied, Some("AccessDeniedException"), Some("AccessDenied")),
        (Mishap::Unheard, None, None),
    ] {
        door.order(mishap, 2);
        cluster("first").await.expect("the first call is let through");
        let error = cluster(&format!("{mishap:?}")).await.expect_err("the second is not");
        assert_eq!(error.as_service_error().and_then(|error| error.code()), json, "{mishap:?}");
        assert_eq!(door.hit().as_deref(), Some("ecs:CreateCluster"));
        door.order(mishap, 1);
        let error = stacks.describe_stacks().send().await.expect_err("nor is this");
        assert_eq!(error.as_service_error().and_then(|error| error.code()), query, "{mishap:?}");
        assert_eq!(door.hit().as_deref(), Some("cloudformation:DescribeStacks"));
        stacks.describe_stacks().send().await.expect("and it is over");
    }
    let clusters = ecs.list_clusters().send().await.expect("a list");
    let names: Vec<&str> = clusters.cluster_arns().iter().filter_map(|arn| arn.rsplit('/').next()).collect();
    assert_eq!(names, ["first", "Unheard"], "what was unheard took effect, and nothing else did");
    assert_eq!(door.counts()["ecs:CreateCluster"], 8);

    door.forget();
    door.order(Mishap::DeadAfter, 1);
    cluster("last").await.expect_err("it dies");
    ecs.list_clusters().send().await.expect_err("it is dead");
    assert!(door.is_dead());
    door.mend();
    assert_eq!(ecs.list_clusters().send().await.expect("a list").cluster_arns().len(), 3);
    assert_eq!(door.calls(), ["ecs:CreateCluster", "ecs:ListClusters"], "the dead call nobody");
}
