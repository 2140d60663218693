//! What lets the jobs of a repository's workflows deploy: GitHub as a provider of identities, the roles, the
//! bucket of the state; one stack of CloudFormation for each repository.
//!
//! Guarantees: what an account has once (provider, boundary, bucket) is taken as it is where it exists, and
//! stays as long as somebody uses it; asking again changes nothing; whatever was interrupted is gone on with
//! by asking again; a provider or a bucket that would not do is named before anything is made.
//!
//! | file | purpose |
//! |---|---|
//! | `order` | what is to be made, and what it is called |
//! | `render` | the stack's text: trust policies and what each role may do |
//! | `look` | what the account has already |
//! | `leave` | taking it away, and what stays |

mod leave;
#[cfg(test)]
mod limits_tests;
mod look;
mod order;
mod render;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use leave::{Kept, Removed, StateFate};
pub use order::{BootstrapOrder, CommandReach, PermanentStage};

use super::clients::Clients;
use super::marks::Marks;
use super::names::{TAG_APP, TAG_KIND, TAG_OWNER, TAG_REPO};
use super::stack::{self, AfterFailure, Driver, Match, Pace, Protection, Snapshot, Step, Wish};
use super::{AwsCloud, Names, Shared, template};
use crate::model::{AwsTarget, ChangeKind, Place, ResourceChange, StageKind, StageName, state_bucket};
use crate::port::{PortError, PortResult, Progress, Site};
use look::Found;
use order::Called;

/// What a bootstrap makes, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootstrapReport {
    pub account: String,
    pub region: String,
    pub stack: String,
    pub bucket: String,
    /// What programs' roles are bounded by: the setting of Greenroom that names it.
    pub boundary: String,
    /// The roles that workflows name, by the ends of their names.
    pub doors: Vec<RoleReport>,
    /// The roles that the configuration names under `aws.roles`.
    pub hands: Vec<RoleReport>,
    /// What the account had already.
    pub adopted: Vec<String>,
}

/// One role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleReport {
    pub name: String,
    pub arn: String,
}

/// The stack's text with nothing asked of AWS.
pub fn bootstrap_template(name: &str, order: &BootstrapOrder) -> PortResult<String> {
    let names = Names::new(name);
    template::bootstrap(&render::text(&Called::new(&names, order)?)?)
}

impl AwsCloud {
    /// What [`Self::deploy_bootstrap`] would make and change.
    pub async fn plan_bootstrap(
        &self,
        order: &BootstrapOrder,
        target: &AwsTarget,
    ) -> PortResult<(BootstrapReport, Vec<ResourceChange>)> {
        let (shared, called) = (&self.shared, Called::new(&self.shared.names, order)?);
        let clients = at(shared, &called, target).await?;
        let found = look::look(&clients, &called).await?;
        found.objections(&clients, &called)?;
        let wish = wish(&called, &found)?;
        let live = found.stack.as_ref().filter(|stack| stack.is_settled());
        let changes = match live {
            Some(live) if is_as_wished(live, &wish) == Match::Same => Vec::new(),
            live => stack::changes(shared, &clients, &wish, live).await?,
        };
        let is_made = |change: &ResourceChange| change.change != ChangeKind::Added || !found.has(&change.name);
        let report = report(&clients, &called, &found)?;
        Ok((report, changes.into_iter().filter(is_made).collect()))
    }

    /// Makes it, or brings it to this order.
    pub async fn deploy_bootstrap(
        &self,
        order: &BootstrapOrder,
        target: &AwsTarget,
    ) -> PortResult<Progress<BootstrapReport>> {
        let (shared, called) = (&self.shared, Called::new(&self.shared.names, order)?);
        let clients = at(shared, &called, target).await?;
        let found = look::look(&clients, &called).await?;
        found.objections(&clients, &called)?;
        let (wish, driver) = (wish(&called, &found)?, Driver::by_hand(shared, &clients));
        let marks = marks(&called);
        let step = match driver.look(&wish.name, &marks, |stack| is_as_wished(stack, &wish)).await? {
            Step::Create => driver.create(&wish).await?,
            Step::Update(stack) => driver.update(&wish, stack).await?,
            step => step,
        };
        match step {
            Step::Done(_) => Ok(Progress::Done(report(&clients, &called, &found)?)),
            Step::Pending { again_millis, note } => Ok(Progress::Pending { again_millis, note }),
            Step::Create | Step::Update(_) => {
                Ok(Progress::Pending { again_millis: 1_000, note: "CloudFormation begins".to_owned() })
            }
        }
    }

    /// Takes it away, and of what the account has once what nobody uses any more.
    pub async fn remove_bootstrap(
        &self,
        order: &BootstrapOrder,
        target: &AwsTarget,
        state: StateFate,
    ) -> PortResult<Progress<Removed>> {
        let (shared, called) = (&self.shared, Called::new(&self.shared.names, order)?);
        let clients = at(shared, &called, target).await?;
        let name = called.stack();
        if let Some(stack) = stack::describe(&clients, &name).await? {
            marks(&called).require(&stack)?;
            if let Progress::Pending { again_millis, note } = stack::remove(shared, &clients, &name).await? {
                return Ok(Progress::Pending { again_millis, note });
            }
        }
        Ok(Progress::Done(leave::leave(&clients, &called, state).await?))
    }
}

/// The clients of whoever asks, in that account and no other.
async fn at(shared: &Shared, called: &Called<'_>, target: &AwsTarget) -> PortResult<std::sync::Arc<Clients>> {
    let app = called.order.app.as_str();
    let name = app.parse::<StageName>().map_err(|error| PortError::bug("an app whose name is no label", error))?;
    let place = Place { kind: StageKind::Permanent, aws: Some(target.clone()), ..Place::default() };
    shared.sessions.at(Site { stage: &called.stage(&name), place: &place }).await
}

fn marks(called: &Called<'_>) -> Marks {
    Marks::of_bootstrap(called.names, &called.key)
}

fn wish(called: &Called<'_>, found: &Found) -> PortResult<Wish> {
    let tags = [
        (TAG_OWNER, called.names.owner()),
        (TAG_REPO, called.key.as_str()),
        (TAG_APP, called.order.app.as_str()),
        (TAG_KIND, "bootstrap"),
    ];
    Ok(Wish {
        name: called.stack(),
        template: template::bootstrap(&render::text(called)?)?,
        parameters: found.parameters(),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        protection: Protection::Off,
        pace: Pace::Standard,
        after_failure: AfterFailure::Back,
    })
}

/// By what it was made from and what it was told the account has.
fn is_as_wished(stack: &Snapshot, wish: &Wish) -> Match {
    let made = stack.outputs.get("Made").map(String::as_str);
    let is_made = made.is_some_and(|made| wish.template.contains(&format!("Made: {{ Value: \"{made}\" }}")));
    if is_made && stack.parameters == wish.parameters { Match::Same } else { Match::Different }
}

fn report(clients: &Clients, called: &Called<'_>, found: &Found) -> PortResult<BootstrapReport> {
    let (partition, account) = (look::partition(clients), &clients.account);
    let role =
        |name: &str| RoleReport { name: name.to_owned(), arn: format!("arn:{partition}:iam::{account}:role/{name}") };
    let text = render::text(called)?;
    Ok(BootstrapReport {
        account: account.clone(),
        region: clients.region.clone(),
        stack: called.stack(),
        bucket: state_bucket(account, &clients.region),
        boundary: look::boundary_arn(clients, called),
        doors: text.doors().iter().map(|door| role(&door.name)).collect(),
        hands: text.hands().iter().map(|hand| role(&hand.name)).collect(),
        adopted: found.adopted(),
    })
}
