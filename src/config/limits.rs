//! What a stage that comes and goes may ask for. The default branch decides it, a pull request asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Limits, Project, Service, StagePattern, StageRule};

use super::sheet::Sheet;
use super::tree::below;

/// The ceilings as they are written.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ceilings {
    /// CPU units of each service; without it 1024, or what the default branch has itself.
    #[schemars(range(min = 256, max = 16384))]
    cpu: Option<u32>,
    /// MiB of memory of each service; without it 2048, or what the default branch has itself.
    #[schemars(range(min = 512, max = 122_880))]
    memory: Option<u32>,
    /// Copies of each service; without it 2, or what the default branch has itself.
    #[schemars(range(min = 1, max = 1000))]
    copies: Option<u32>,
    /// How many services; without it 10, or what the default branch has itself.
    #[schemars(range(min = 1, max = 100))]
    services: Option<u32>,
}

impl From<Ceilings> for Limits {
    fn from(Ceilings { cpu, memory, copies, services }: Ceilings) -> Self {
        Self { cpu, memory, copies, services }
    }
}

/// What a stage may have where neither `limits` nor the default branch's own services say more.
const USUAL: Limits = Limits { cpu: Some(1024), memory: Some(2048), copies: Some(2), services: Some(10) };

/// One thing that is limited.
struct Measure {
    key: &'static str,
    unit: &'static str,
    limit: fn(&Limits) -> Option<u32>,
    of: fn(&Service) -> u32,
}

const MEASURES: [Measure; 3] = [
    Measure { key: "cpu", unit: "CPU units", limit: |limits| limits.cpu, of: |service| service.size.cpu },
    Measure { key: "memory", unit: "MiB of memory", limit: |limits| limits.memory, of: |service| service.size.memory },
    Measure { key: "copies", unit: "copies", limit: |limits| limits.copies, of: |service| service.scale.max },
];

/// In what a stage of this rule, made of `goal`, is over what `policy` allows it; a sentence for each.
///
/// What the default branch asks for itself may be asked for by everybody, so that a limit which nobody
/// wrote stops no stage that is like it.
pub fn over_limits(policy: &Project, goal: &Project, rule: &StageRule) -> Vec<String> {
    if !rule.pattern.is_ephemeral() {
        return Vec::new();
    }
    let own: Vec<&Service> = policy.services.iter().map(|service| service.at(&rule.pattern)).collect();
    let mut over = Vec::new();
    for measure in &MEASURES {
        let usual = || own.iter().map(|service| (measure.of)(service)).chain((measure.limit)(&USUAL)).max();
        let Some(most) = (measure.limit)(&rule.limits).or_else(usual) else { continue };
        over.extend(goal.services.iter().filter_map(|service| too_much(service, measure, most, &rule.pattern)));
    }
    let usual = || u32::try_from(own.len()).ok().max(USUAL.services);
    let most = rule.limits.services.or_else(usual).unwrap_or(u32::MAX);
    over.extend(too_many(goal.services.len(), most));
    over
}

/// Reports what a file asks for beyond limits that it sets itself.
pub(super) fn check_own(sheet: &mut Sheet<'_>, rules: &[StageRule], services: &[Service]) {
    for rule in rules {
        for service in services {
            let pointer = below("/services", service.name.as_str());
            for measure in &MEASURES {
                let over =
                    (measure.limit)(&rule.limits).and_then(|most| too_much(service, measure, most, &rule.pattern));
                if let Some(message) = over {
                    sheet.key(&pointer, message);
                }
            }
        }
        if let Some(message) = rule.limits.services.and_then(|most| too_many(services.len(), most)) {
            sheet.key("/services", message);
        }
    }
}

fn too_much(service: &Service, measure: &Measure, most: u32, pattern: &StagePattern) -> Option<String> {
    let asked = (measure.of)(service.at(pattern));
    let each = format!("{most} for each service");
    (asked > most)
        .then(|| format!("`{}` asks for {asked} {}; {}", service.name, measure.unit, may_have(measure.key, &each)))
}

fn too_many(count: usize, most: u32) -> Option<String> {
    let is_over = usize::try_from(most).is_ok_and(|most| count > most);
    is_over.then(|| format!("there are {count} services; {}", may_have("services", &format!("{most} at most"))))
}

fn may_have(key: &str, what: &str) -> String {
    format!("a preview may have {what} (`limits: {{ {key}: … }}` of its stage on the default branch)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{check, narrow};

    fn project(limits: &str, services: &str) -> Project {
        let stages = format!(
            "  prod: {{ on: {{ push: main }} }}\n  \"pr-{{number}}\": {{ on: {{ pull_request: {{}} }}{limits} }}"
        );
        let file = format!("version: 1\napp: shop\nstages:\n{stages}\nservices:\n{services}");
        check("f.yml", file.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn service(name: &str, rest: &str) -> String {
        format!("  {name}: {{ kind: ecs, build: {{}}{rest} }}\n")
    }

    /// What a pull request gets to hear.
    fn over(policy: &Project, goal: Project) -> Vec<String> {
        let goal = narrow(policy, goal);
        over_limits(policy, &goal, &goal.stages[1])
    }

    const LARGE: &str = ", size: { cpu: 2048, memory: 4096 }, scale: { min: 1, max: 3 }";

    #[test]
    fn a_pull_request_that_asks_for_much_is_told_so() {
        let policy = project("", &service("web", ""));
        assert!(over(&policy, project("", &service("web", ", size: { cpu: 1024, memory: 2048 }"))).is_empty());
        let said = over(&policy, project("", &service("web", LARGE)));
        insta::assert_snapshot!(said.join("\n"), @r"
        `web` asks for 2048 CPU units; a preview may have 1024 for each service (`limits: { cpu: … }` of its stage on the default branch)
        `web` asks for 4096 MiB of memory; a preview may have 2048 for each service (`limits: { memory: … }` of its stage on the default branch)
        `web` asks for 3 copies; a preview may have 2 for each service (`limits: { copies: … }` of its stage on the default branch)
        ");
        let many: String = (0..11).map(|number| service(&format!("s{number}"), "")).collect();
        insta::assert_snapshot!(
            over(&policy, project("", &many)).join("\n"),
            @"there are 11 services; a preview may have 10 at most (`limits: { services: … }` of its stage on the default branch)"
        );
    }

    #[test]
    fn what_the_default_branch_has_itself_anybody_may_have() {
        let policy = project("", &service("web", LARGE));
        assert!(over(&policy, project("", &service("other", LARGE))).is_empty());
        let many: String = (0..11).map(|number| service(&format!("s{number}"), "")).collect();
        assert!(over(&project("", &many), project("", &many)).is_empty());
        // What it has elsewhere counts for nothing here.
        let small =
            ", stages: { \"pr-{number}\": { size: { cpu: 256, memory: 512 } } }, size: { cpu: 4096, memory: 8192 }";
        let policy = project("", &service("web", small));
        assert_eq!(over(&policy, project("", &service("web", ", size: { cpu: 4096, memory: 8192 }"))).len(), 2);
        assert!(over(&policy, policy.clone()).is_empty());
    }

    #[test]
    fn the_default_branch_sets_the_limits_and_a_pull_request_only_lowers_them() {
        let policy = project(", limits: { cpu: 2048, memory: 4096, copies: 3, services: 1 }", &service("web", ""));
        assert!(over(&policy, project("", &service("web", LARGE))).is_empty());
        let wish = ", limits: { cpu: 16384, memory: 122880, services: 100 }";
        let nothing = project("", &service("web", ""));
        assert_eq!(over(&nothing, project(wish, &service("web", LARGE))).len(), 3, "it sets none for itself");
        let two = [service("web", ", size: { cpu: 4096, memory: 8192 }"), service("api", "")].concat();
        assert_eq!(over(&policy, project(wish, &two)).len(), 3, "cpu, memory, services");
        let policy = project(", limits: { cpu: 2048 }", &service("web", ""));
        let goal = project(", limits: { cpu: 512 }", &service("web", ""));
        assert_eq!(narrow(&policy, goal).stages[1].limits.cpu, Some(512));
    }

    #[test]
    fn a_permanent_stage_has_what_it_asks_for() {
        let policy = project("", &service("web", ""));
        let goal = narrow(&policy, project("", &service("web", LARGE)));
        assert!(over_limits(&policy, &goal, &goal.stages[0]).is_empty());
    }
}
