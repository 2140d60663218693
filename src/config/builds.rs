//! Who builds images and where: `builder` and `runners`, as they are written and as they are meant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{self, Builds, BuiltBy, RunnerLabels};

use super::sheet::Sheet;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Runners {
    /// The label of a runner with that processor, or a list of labels of which it has all.
    #[serde(rename = "linux/amd64")]
    amd64: Option<Labels>,
    /// The same for the other processor.
    #[serde(rename = "linux/arm64")]
    arm64: Option<Labels>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("title" = "a label such as ubuntu-24.04-arm, or a list of labels"))]
enum Labels {
    One(Label),
    All(LabelList),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minItems" = 1, "maxItems" = 10))]
struct LabelList(Vec<Label>);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"))]
#[schemars(extend("title" = "a label of 1 to 100 of letters, digits, `.`, `_` and `-`"))]
struct Label(String);

impl Labels {
    fn meant(self) -> RunnerLabels {
        match self {
            Self::One(Label(label)) => RunnerLabels::One(label),
            Self::All(labels) => RunnerLabels::All(labels.0.into_iter().map(|label| label.0).collect()),
        }
    }
}

/// Who builds, and where.
pub(super) fn builds(sheet: &mut Sheet<'_>) -> Builds {
    let by = sheet.read::<BuiltBy>("/builder").unwrap_or_default();
    let is_sound = sheet.is_sound("/builder");
    let Some(raw) = sheet.read::<Runners>("/runners") else { return Builds { by, ..Builds::default() } };
    if by == BuiltBy::Docker && is_sound {
        sheet.key("/runners", "runners build nothing here: write `builder: actions`, or take them out");
    }
    let Runners { amd64, arm64 } = raw;
    Builds { by, runners: model::Runners { amd64: amd64.map(Labels::meant), arm64: arm64.map(Labels::meant) } }
}
