//! The stack's text: who is let in, and what each may do then.
//!
//! A job's token makes a session without tags; the policies of stages tell stages apart by tags. So whoever
//! comes in by a door takes on a second role, a hand, and the hand's trust policy says which tags it may.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::names::{SESSION_IMAGES, SESSION_STACK, TAG_BASE, TAG_KIND, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::super::policy::{self, Policy, Sessions, Terms};
use super::super::template;
use super::order::{BootstrapOrder, Called, CommandReach, PermanentStage};
use crate::decide::doors::{Door, Trust, literal, trust};
use crate::model::{AUDIENCE, StageKind, state_bucket};
use crate::port::{PortError, PortResult};

const PREVIEWS: [Policy; 4] =
    [Policy::Previews, Policy::PreviewsRoutes, Policy::PreviewsFoundation, Policy::PreviewsNetwork];
const PERMANENT: [Policy; 4] =
    [Policy::Permanent, Policy::PermanentRoutes, Policy::PermanentFoundation, Policy::PermanentNetwork];

/// Longest trust policy of a role. Source: IAM User Guide, "IAM and AWS STS quotas", role trust policy length.
pub(super) const LONGEST_TRUST: usize = 2_048;

#[derive(Debug, Serialize)]
pub(super) struct Text {
    spelling: String,
    owner: String,
    owner_tag: &'static str,
    issuer: String,
    audience: &'static str,
    boundary_name: String,
    boundary: Value,
    bucket: String,
    policies: Vec<PolicyText>,
    doors: Vec<DoorText>,
    hands: Vec<HandText>,
    made: String,
}

#[derive(Debug, Serialize)]
struct PolicyText {
    id: String,
    document: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct DoorText {
    pub(super) id: String,
    what: String,
    pub(super) name: String,
    pub(super) trust: Value,
    pub(super) policy: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct HandText {
    pub(super) id: String,
    what: String,
    pub(super) name: String,
    pub(super) trust: Value,
    policies: Vec<String>,
}

/// What the text is made from. `made` tells it apart from every other.
pub(super) fn text(called: &Called<'_>) -> PortResult<Text> {
    let order = called.order;
    let terms = Terms { name: called.names.owner(), boundary: None, sessions: Sessions::Tagged };
    let mut grounds = PREVIEWS.to_vec();
    if !order.stages.is_empty() {
        grounds.extend(PERMANENT);
    }
    let document = |which: &Policy| -> PortResult<PolicyText> {
        Ok(PolicyText { id: policy_id(*which), document: read(*which, &terms)? })
    };
    let doors = order.doors();
    let mut text = Text {
        spelling: order.repo.spelling.clone(),
        owner: called.names.owner().to_owned(),
        owner_tag: TAG_OWNER,
        issuer: order.issuer.url(),
        audience: AUDIENCE,
        boundary_name: boundary_name(called.names.owner()),
        boundary: read(Policy::Boundary, &terms)?,
        bucket: state_bucket("${AWS::AccountId}", "${AWS::Region}"),
        policies: grounds.iter().map(document).collect::<PortResult<_>>()?,
        doors: doors.iter().map(|door| door_text(called, door, &terms)).collect(),
        hands: hands(called),
        made: String::new(),
    };
    fits(&text)?;
    let source = serde_json::to_vec(&text).map_err(|error| PortError::bug("writing the roles down", error))?;
    text.made = hex::encode(&Sha256::digest([source, template::bootstrap_source().into()].concat())[..16]);
    Ok(text)
}

impl Text {
    pub(super) fn doors(&self) -> &[DoorText] {
        &self.doors
    }

    pub(super) fn hands(&self) -> &[HandText] {
        &self.hands
    }
}

pub(super) fn boundary_name(owner: &str) -> String {
    format!("{owner}-boundary")
}

/// A printed policy as a value.
fn read(which: Policy, terms: &Terms<'_>) -> PortResult<Value> {
    serde_json::from_str(&policy::policy(which, terms)).map_err(|error| PortError::bug("a policy is no JSON", error))
}

/// `PreviewsRoutesPolicy`
fn policy_id(which: Policy) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    format!("{}Policy", which.word().split('-').map(word).collect::<String>())
}

fn door_id(door: &Door) -> String {
    match door {
        Door::Preview => "PreviewDoor".to_owned(),
        Door::Permanent { stage, .. } => format!("PermanentDoor{}", template::logical(stage.as_str())),
        Door::Commands => "CommandsDoor".to_owned(),
        Door::Build { .. } => "BuildDoor".to_owned(),
    }
}

fn door_text(called: &Called<'_>, door: &Door, terms: &Terms<'_>) -> DoorText {
    let what = match door {
        Door::Preview => "Jobs of pull requests of the repository itself; GitHub gives forks no token.".to_owned(),
        Door::Permanent { stage, .. } => format!("Jobs in the environment {stage}, on its branch."),
        Door::Commands => "Comments and schedules, by the default branch's workflows.".to_owned(),
        Door::Build { .. } => "Pushing what another job built.".to_owned(),
    };
    let order = called.order;
    DoorText {
        id: door_id(door),
        what,
        name: called.role(&door.suffix()),
        trust: trust_document(&trust(door, &order.repo, &order.issuer), order),
        policy: door_policy(called, door, terms),
    }
}

/// One statement: several would each let in by themselves.
pub(super) fn trust_document(trust: &Trust, order: &BootstrapOrder) -> Value {
    let claims = trust.claims.iter().map(|(claim, values)| {
        let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
        let value = if let [one] = values.as_slice() { json!(one) } else { json!(values) };
        (format!("{}:{claim}", order.issuer.key()), value)
    });
    let claims: Map<String, Value> = claims.collect();
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {
            "Federated": { "Fn::If": ["MakesProvider", { "Ref": "IdentityProvider" }, { "Ref": "Provider" }] },
        },
        "Condition": { "StringEquals": claims },
    }] })
}

/// What a job may do before it takes on a stage's role: read and write its repository's state, look for what
/// was left behind, and take that role on. Builds push, and nothing else.
fn door_policy(called: &Called<'_>, door: &Door, terms: &Terms<'_>) -> Value {
    let order = called.order;
    let sub = |text: String| json!({ "Fn::Sub": text });
    if matches!(door, Door::Build { .. }) {
        let images = format!("arn:${{AWS::Partition}}:ecr:*:${{AWS::AccountId}}:repository/{}/*", called.images());
        return json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Login", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*" },
            { "Sid": "Push", "Effect": "Allow", "Action": PUSH, "Resource": sub(images) },
        ] });
    }
    let bucket = state_bucket("${AWS::AccountId}", "${AWS::Region}");
    let bucket = format!("arn:${{AWS::Partition}}:s3:::{bucket}");
    let object = format!("{}.db*", order.repo.id);
    let hands: Vec<Value> = hands_of(order, door)
        .into_iter()
        .map(|hand| sub(format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{}", called.role(hand))))
        .collect();
    let mut statements = vec![
        json!({
            "Sid": "State", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": sub(format!("{bucket}/{object}")),
        }),
        // Without it, what is not there cannot be told from what is not allowed. Of any prefix: asking for an
        // object tells AWS none, and a condition on one would not hold. What a list shows is numbers.
        json!({ "Sid": "LookForState", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": sub(bucket) }),
        json!({
            "Sid": "Stages", "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": hands,
        }),
    ];
    statements.extend(policy::statements(Policy::Server, terms, &["Sweep", "SweepServices"]));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// What pushing an image by the protocol of registries comes to. Source: Amazon ECR User Guide, "IAM
/// permissions for pushing an image".
const PUSH: [&str; 6] = [
    "ecr:BatchCheckLayerAvailability",
    // Whether the tag is there already.
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];

/// The ends of the names of the second roles, by the kind of stage.
fn hand_of(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Ephemeral => "deploy-preview",
        StageKind::Permanent => "deploy-permanent",
        StageKind::Production => "deploy-production",
    }
}

fn hands_of(order: &BootstrapOrder, door: &Door) -> Vec<&'static str> {
    let own = |stage: &&PermanentStage| match door {
        Door::Permanent { stage: name, .. } => stage.name == *name,
        Door::Commands => stage.reach == CommandReach::Yes,
        Door::Preview | Door::Build { .. } => false,
    };
    let mut hands: Vec<&str> = order.stages.iter().filter(own).map(|stage| hand_of(stage.kind)).collect();
    if matches!(door, Door::Preview | Door::Commands) {
        hands.insert(0, hand_of(StageKind::Ephemeral));
    }
    hands.dedup();
    hands
}

fn hands(called: &Called<'_>) -> Vec<HandText> {
    let ids = |policies: [Policy; 4]| policies.map(policy_id).to_vec();
    let doors = [&Door::Preview, &Door::Commands].map(door_id).to_vec();
    let mut hands = vec![HandText {
        id: "PreviewHand".to_owned(),
        what: "Deploys previews: taken on for one stage, which the session's tags name.".to_owned(),
        name: called.role(hand_of(StageKind::Ephemeral)),
        trust: hand_document(vec![(doors, preview_tags(called))], called),
        policies: ids(PREVIEWS),
    }];
    for kind in [StageKind::Permanent, StageKind::Production] {
        let stages: Vec<&PermanentStage> = called.order.stages.iter().filter(|stage| stage.kind == kind).collect();
        let who = |stage: &&PermanentStage| {
            let door = Door::Permanent { stage: stage.name.clone(), branch: stage.branch.clone() };
            let commands = (stage.reach == CommandReach::Yes).then(|| door_id(&Door::Commands));
            ([door_id(&door)].into_iter().chain(commands).collect(), stage_tags(called, stage))
        };
        if !stages.is_empty() {
            hands.push(HandText {
                id: if kind == StageKind::Permanent { "PermanentHand" } else { "ProductionHand" }.to_owned(),
                what: "Deploys permanent stages: each door its own one alone.".to_owned(),
                name: called.role(hand_of(kind)),
                trust: hand_document(stages.iter().map(who).collect(), called),
                policies: ids(PERMANENT),
            });
        }
    }
    hands
}

/// What has to hold of a session's tags, by operator and key.
type Conditions = Vec<(&'static str, String, Value)>;

fn tag(name: &str) -> String {
    format!("aws:RequestTag/{name}")
}

/// What all sessions of the repository say of it.
fn common(called: &Called<'_>, kind: &str, base: Option<&String>) -> Conditions {
    let mut all = vec![
        ("StringEquals", tag(TAG_REPO), json!(literal(called.key.as_str()))),
        ("StringEquals", tag(SESSION_IMAGES), json!(literal(&called.images()))),
        ("StringEquals", tag(TAG_KIND), json!(kind)),
    ];
    // Where there is no base, no record is anybody's to make.
    let base = base.map_or_else(|| json!(""), |base| json!(literal(base)));
    all.push(("StringEqualsIfExists", tag(TAG_BASE), base));
    all
}

/// Jobs of pull requests run what their author wrote: the tags that they choose are held to previews.
fn preview_tags(called: &Called<'_>) -> Conditions {
    let order = called.order;
    let mut all = common(called, "ephemeral", order.preview_base.as_ref());
    all.push(("StringLike", tag(TAG_STAGE), json!(order.preview_names)));
    all.push(("StringLike", tag(SESSION_STACK), json!(called.preview_stacks())));
    if !order.stages.is_empty() {
        let names: Vec<&str> = order.stages.iter().map(|stage| stage.name.as_str()).collect();
        all.push(("StringNotEquals", tag(TAG_STAGE), json!(names)));
    }
    all
}

fn stage_tags(called: &Called<'_>, stage: &PermanentStage) -> Conditions {
    let kind = if stage.kind == StageKind::Production { "production" } else { "permanent" };
    let mut all = common(called, kind, stage.base.as_ref());
    all.push(("StringEquals", tag(TAG_STAGE), json!(stage.name)));
    all.push(("StringEquals", tag(SESSION_STACK), json!(called.names.stage_stack(&called.stage(&stage.name)))));
    all
}

/// Taking the role on and tagging the session are two actions, judged by themselves: both are asked for the tags.
/// One statement serves both, because a trust policy has little room; so the external id is compared where AWS
/// tells it. Source: Service Authorization Reference, AWS STS: `TagSession` knows no external id.
fn hand_document(who: Vec<(Vec<String>, Conditions)>, called: &Called<'_>) -> Value {
    let mut statements = Vec::new();
    for (doors, conditions) in who {
        let principals: Vec<Value> = doors.iter().map(|id| reference(id)).collect();
        let external = ("StringEqualsIfExists", "sts:ExternalId".to_owned(), json!(literal(called.key.as_str())));
        let mut operators: Map<String, Value> = Map::new();
        for (operator, key, value) in conditions.into_iter().chain([external]) {
            operators.entry(operator).or_insert_with(|| json!({}))[key] = value;
        }
        statements.push(json!({
            "Effect": "Allow", "Principal": { "AWS": principals },
            "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": operators,
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn reference(role: &str) -> Value {
    json!({ "Fn::GetAtt": [role, "Arn"] })
}

/// How much of a trust policy IAM counts: without spaces, and with names in the places of references.
pub(super) fn trust_length(trust: &Value, doors: &[DoorText]) -> usize {
    let mut text = trust.to_string();
    for door in doors {
        let arn = json!(format!("arn:aws:iam::123456789012:role/{}", door.name));
        text = text.replace(&reference(&door.id).to_string(), &arn.to_string());
    }
    text.chars().count()
}

/// What IAM would refuse in the middle of making the stack.
fn fits(text: &Text) -> PortResult<()> {
    let doors = text.doors.iter().map(|door| (&door.name, &door.trust));
    let mut all = doors.chain(text.hands.iter().map(|hand| (&hand.name, &hand.trust)));
    let long = all.find(|(_, trust)| trust_length(trust, &text.doors) > LONGEST_TRUST);
    let Some((name, trust)) = long else { return Ok(()) };
    let length = trust_length(trust, &text.doors);
    let reason = format!(
        "the role {name} would need a trust policy of {length} characters, and IAM takes {LONGEST_TRUST}: it names each \
         permanent stage of its kind; have fewer of them in one repository, or shorter names"
    );
    Err(PortError::Denied { reason })
}
