//! Every verb explains itself.

use insta::assert_snapshot;

use crate::bench::Bench;

async fn help(verb: &str) -> String {
    let args: Vec<&str> = [verb, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
    let said = Bench::new().run(&args).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

#[tokio::test]
async fn every_verb_has_examples_that_it_understands() {
    let overview = help("").await;
    let verbs: Vec<&str> = overview
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() >= 8, "{verbs:?}");
    for verb in verbs {
        let text = help(verb).await;
        let (_, examples) = text.split_once("Examples:\n").unwrap_or_else(|| panic!("`{verb}` has no examples"));
        for example in examples.lines() {
            let (_, command) = example.rsplit_once("greenroom ").unwrap_or_else(|| panic!("no command: {example}"));
            // Behind it: a pipe, or two spaces and a remark.
            let end = ["|", ">", ")", "  "].iter().filter_map(|end| command.find(end)).min().unwrap_or(command.len());
            let words = command[..end].split_whitespace().map(str::to_owned);
            let words: Vec<String> = std::iter::once("greenroom".to_owned()).chain(words).collect();
            let parsed = <greenroom::cli::Cli as clap::Parser>::try_parse_from(words);
            if let Err(error) = parsed {
                let missing = clap::error::ErrorKind::MissingRequiredArgument;
                assert_eq!(error.kind(), missing, "{example}: {error}");
                assert!(error.to_string().contains("--github-app-id"), "it may come by the environment: {error}");
            }
        }
    }
}

#[tokio::test]
async fn help_of_the_program() {
    assert_snapshot!(help("").await, @"
    Every pull request gets a stage of its own, on your own account

    Usage: greenroom [OPTIONS] <COMMAND>

    Commands:
      audit       Show who asked for what, newest first
      bench       Measure this program on this machine
      check       Check a configuration, and say what it means
      demo        See a pull request get its stage, on this machine, with nothing to set up
      deploy      Deploy a stage, and follow it to its end
      destroy     Remove a stage, and follow it until nothing is left
      doctor      See whether AWS is ready, and what to mend
      foundation  Make, change or remove what stages on AWS share
      init        Write a first configuration from what is found here
      plan        Show what a deploy would do, without doing it
      schema      Print the JSON Schema of the configuration
      serve       Receive webhooks and keep stages true
      status      List the stages
      sweep       Remove what is left of stages that nobody needs any more

    Options:
          --json     Print results as JSON
      -h, --help     Print help
      -V, --version  Print version

    Exit codes:
      0  done, and what was asked for holds
      1  what was deployed failed: its build, its start, its health check
      2  the command or the configuration is wrong
      3  something around it is missing, refused or does not answer
      4  a fault of Greenroom itself

    Examples:
      greenroom init
      greenroom serve --github-app-id 12345
      greenroom deploy pr-42 --repo acme/shop --pr 42
    ");
}

#[tokio::test]
async fn help_of_audit() {
    assert_snapshot!(help("audit").await, @r#"
    Show who asked for what, newest first

    Usage: greenroom audit [OPTIONS]
           greenroom audit <COMMAND>

    Commands:
      verify  See whether an entry was changed, removed, added or moved by hand

    Options:
          --json                Print results as JSON
          --repo <OWNER/NAME>   Only that of this repository
          --stage <STAGE>       Only what is about a stage of this name
          --limit <NUMBER>      At most so many entries [default: 50]
          --database-url <URL>  The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>`
                                for several servers [env: GREENROOM_DATABASE_URL] [default:
                                sqlite://greenroom.db]
      -h, --help                Print help

    With --json come the details of each entry and its whole hash.

    Examples:
      greenroom audit
      greenroom audit --repo acme/shop --stage pr-42 --limit 20
      greenroom audit verify
      greenroom --json audit --limit 1000 | jq -r '.[] | select(.action == "refuse") | .actor'
    "#);
}

#[tokio::test]
async fn help_of_check() {
    assert_snapshot!(help("check").await, @"
    Check a configuration, and say what it means

    Usage: greenroom check [OPTIONS] [FILE]

    Arguments:
      [FILE]  The file [default: .github/greenroom.yml]

    Options:
          --json  Print results as JSON
      -h, --help  Print help

    Every problem is printed as file:line:column: message, and the exit code is 2. Where the
    file lies in a repository's .github, patterns of `paths` are held against its files.
    Whether a server serves the repository is its operator's to say: `greenroom doctor`
    tells it where the server's GREENROOM_ALLOW is set.

    Examples:
      greenroom check
      greenroom check examples/hello/.github/greenroom.yml
      greenroom --json check | jq .problems
    ");
}

#[tokio::test]
async fn help_of_deploy() {
    assert_snapshot!(help("deploy").await, @"
    Deploy a stage, and follow it to its end

    Usage: greenroom deploy [OPTIONS] --repo <OWNER/NAME> <--pr <NUMBER>|--branch <BRANCH>|--sha <COMMIT>> <STAGE>

    Arguments:
      <STAGE>  The stage's name

    Options:
          --json                Print results as JSON
          --repo <OWNER/NAME>   Its repository
          --pr <NUMBER>         The head of this pull request
          --branch <BRANCH>     The head of this branch
          --sha <COMMIT>        This very commit, all 40 digits of it
          --no-wait             Ask, and do not wait for the end
          --timeout <SPAN>      Stop waiting after this long; the work goes on [default: 1h]
          --database-url <URL>  The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>`
                                for several servers [env: GREENROOM_DATABASE_URL] [default:
                                sqlite://greenroom.db]
      -h, --help                Print help

    The request goes through the database to the server that runs on it.
    Ctrl-C stops following; the deploy goes on.

    Examples:
      greenroom deploy pr-42 --repo acme/shop --pr 42
      greenroom deploy staging --repo acme/shop --branch main --no-wait
      url=$(greenroom deploy prod --repo acme/shop --sha 0123456789abcdef0123456789abcdef01234567)
    ");
}

#[tokio::test]
async fn help_of_destroy() {
    assert_snapshot!(help("destroy").await, @"
    Remove a stage, and follow it until nothing is left

    Usage: greenroom destroy [OPTIONS] --repo <OWNER/NAME> <STAGE>

    Arguments:
      <STAGE>  The stage's name

    Options:
          --json                Print results as JSON
          --repo <OWNER/NAME>   Its repository
          --yes                 Remove a permanent stage too, and one that the database does not know
                                but the target does
          --no-wait             Ask, and do not wait for the end
          --timeout <SPAN>      Stop waiting after this long; the work goes on [default: 1h]
          --database-url <URL>  The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>`
                                for several servers [env: GREENROOM_DATABASE_URL] [default:
                                sqlite://greenroom.db]
      -h, --help                Print help

    The request goes through the database to the server that runs on it.
    A pull request's stage comes back with the next push to it.

    Examples:
      greenroom destroy pr-42 --repo acme/shop
      greenroom destroy staging --repo acme/shop --yes
    ");
}

#[tokio::test]
async fn help_of_doctor() {
    assert_snapshot!(help("doctor").await, @r#"
    See whether AWS is ready, and what to mend

    Usage: greenroom doctor [OPTIONS] [FILE]

    Arguments:
      [FILE]
              The configuration whose account, roles and zone are looked at; without one, the file of
              this folder if there is one

    Options:
          --json
              Print results as JSON

          --repo <OWNER/NAME>
              The repository: roles are taken on for one

          --resolver <ADDRESS>
              A DNS resolver that sees what the world sees
              
              [default: 1.1.1.1:53]

          --policy <WHOSE>
              Print the least that must be allowed, as a policy for IAM, and look at nothing

              Possible values:
              - server:               The server's own, where configurations name roles
              - previews:             Deploying stages that come and go
              - previews-routes:      Besides `previews`: what leads to them, and what scales them
              - permanent:            Deploying permanent stages
              - permanent-routes:     Besides `permanent`: what leads to them, and what scales them
              - previews-foundation:  Making what previews share, besides
              - previews-network:     Besides `previews-foundation`: its network and load balancers
              - permanent-foundation: Making a permanent stage's own foundation, besides
              - permanent-network:    Besides `permanent-foundation`: its network and load balancers
              - boundary:             What the roles of foundations may do at most

          --without-role
              Print it for the server's own identity, or a person's, where no role is taken on

          --aws-name <NAME>
              Begins every name on AWS; another one for each Greenroom in an account
              
              [env: GREENROOM_AWS_NAME]
              [default: greenroom]

          --aws-permissions-boundary <ARN>
              The ARN of a policy that bounds every role that is made
              
              [env: GREENROOM_AWS_PERMISSIONS_BOUNDARY]

      -h, --help
              Print help (see a summary with '-h')

    Looks at credentials, roles, permissions, quotas, DNS, certificates and the metadata service of
    this machine, and changes nothing. It uses the standard AWS_* variables. The exit code is 1 if
    anything fails.

    Examples:
      greenroom doctor
      greenroom doctor --repo acme/shop .github/greenroom.yml
      greenroom doctor --policy previews > policy.json
      greenroom --json doctor | jq -r '.[] | select(.health == "fail") | .fix'
    "#);
}

#[tokio::test]
async fn help_of_init() {
    assert_snapshot!(help("init").await, @"
    Write a first configuration from what is found here

    Usage: greenroom init [OPTIONS]

    Options:
          --app <NAME>  The app's name, if it is not the folder's
          --json        Print results as JSON
          --force       Replace a file that is there
          --workflows   Write the workflows that fit the configuration, and say what is left to do
      -h, --help        Print help

    Looks for Dockerfiles, a compose file, a Procfile or a start script, in this folder and below.

    Examples:
      greenroom init
      greenroom init --app shop --force
      greenroom init --workflows
    ");
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn help_of_plan() {
    assert_snapshot!(help("plan").await, @"
    Show what a deploy would do, without doing it

    Usage: greenroom plan [OPTIONS] --repo <OWNER/NAME> --github-app-id <ID> <STAGE>

    Arguments:
      <STAGE>
              The stage's name

    Options:
          --json
              Print results as JSON

          --repo <OWNER/NAME>
              Its repository

          --pr <NUMBER>
              The head of this pull request

          --branch <BRANCH>
              The head of this branch

          --sha <COMMIT>
              This very commit, all 40 digits of it

          --destroy
              What `greenroom destroy` would do

          --database-url <URL>
              The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>` for several servers
              
              [env: GREENROOM_DATABASE_URL]
              [default: sqlite://greenroom.db]

          --data <FOLDER>
              A folder of the server's own, for sources and stages on this machine
              
              [env: GREENROOM_DATA]
              [default: greenroom-data]

          --github-api-url <URL>
              GitHub's API, another one for an Enterprise Server
              
              [env: GREENROOM_GITHUB_API_URL]
              [default: https://api.github.com]

          --github-app-id <ID>
              The number of the GitHub App
              
              [env: GREENROOM_GITHUB_APP_ID]

          --target <TARGET>
              Where stages run

              Possible values:
              - aws:   On AWS: ECS behind a load balancer
              - local: On this machine
              
              [env: GREENROOM_TARGET]
              [default: aws]

          --aws-name <NAME>
              Begins every name on AWS; another one for each Greenroom in an account
              
              [env: GREENROOM_AWS_NAME]
              [default: greenroom]

          --aws-nat-gateways <0|1|2>
              NAT gateways of a foundation; without one, programs have public addresses that let nothing
              in

              Possible values:
              - 0: Programs have public addresses of their own, into which nothing is let
              - 1
              - 2: One in each zone
              
              [env: GREENROOM_AWS_NAT_GATEWAYS]
              [default: 0]

          --aws-preview-capacity <CAPACITY>
              What previews run on

              Possible values:
              - fargate
              - fargate-spot: Much cheaper; AWS may take a task away with two minutes' notice
              
              [env: GREENROOM_AWS_PREVIEW_CAPACITY]
              [default: fargate]

          --aws-permissions-boundary <ARN>
              The ARN of a policy that bounds every role that is made
              
              [env: GREENROOM_AWS_PERMISSIONS_BOUNDARY]

          --proxy-listen <ADDRESS>
              Where stages on this machine answer
              
              [env: GREENROOM_PROXY_LISTEN]
              [default: 127.0.0.1:8088]

          --allow <REPOSITORIES>
              Repositories that are served: owner/name or owner/*; without it, none
              
              [env: GREENROOM_ALLOW]

          --zones <ZONES>
              Zones that only these repositories may use: zone=owner/name,...
              
              [env: GREENROOM_ZONES]

      -h, --help
              Print help (see a summary with '-h')

    Reads the server's database, GitHub and the target, and changes nothing. It takes the settings of
    `greenroom serve`, and GREENROOM_GITHUB_PRIVATE_KEY from the environment. Without --pr, --branch or
    --sha it is about what the stage follows already.

    Examples:
      greenroom plan pr-42 --repo acme/shop --pr 42
      greenroom plan staging --repo acme/shop --branch main
      greenroom --json plan prod --repo acme/shop | jq '.plan.steps | length'
    ");
}

#[tokio::test]
async fn help_of_schema() {
    assert_snapshot!(help("schema").await, @"
    Print the JSON Schema of the configuration

    Usage: greenroom schema [OPTIONS]

    Options:
          --json   Print results as JSON
          --table  A Markdown table of all keys instead
      -h, --help   Print help

    Examples:
      greenroom schema > greenroom.schema.json
      greenroom schema --table
    ");
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn help_of_serve() {
    assert_snapshot!(help("serve").await, @"
    Receive webhooks and keep stages true

    Usage: greenroom serve [OPTIONS] --github-app-id <ID>

    Options:
          --json
              Print results as JSON

          --listen <ADDRESS>
              Where webhooks are received; `/healthz` is beside them
              
              [env: GREENROOM_LISTEN]
              [default: 127.0.0.1:3000]

          --ops-listen <ADDRESS>
              Where operators ask for `/metrics` and `/readyz`; nobody else should reach it
              
              [env: GREENROOM_OPS_LISTEN]
              [default: 127.0.0.1:3001]

          --database-url <URL>
              The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>` for several servers
              
              [env: GREENROOM_DATABASE_URL]
              [default: sqlite://greenroom.db]

          --data <FOLDER>
              A folder of the server's own, for sources and stages on this machine
              
              [env: GREENROOM_DATA]
              [default: greenroom-data]

          --github-api-url <URL>
              GitHub's API, another one for an Enterprise Server
              
              [env: GREENROOM_GITHUB_API_URL]
              [default: https://api.github.com]

          --github-app-id <ID>
              The number of the GitHub App
              
              [env: GREENROOM_GITHUB_APP_ID]

          --target <TARGET>
              Where stages run

              Possible values:
              - aws:   On AWS: ECS behind a load balancer
              - local: On this machine
              
              [env: GREENROOM_TARGET]
              [default: aws]

          --registry <HOST/PATH>
              A registry in place of ECR's own address, without scheme; on one machine, where the build
              cache is kept
              
              [env: GREENROOM_REGISTRY]

          --aws-name <NAME>
              Begins every name on AWS; another one for each Greenroom in an account
              
              [env: GREENROOM_AWS_NAME]
              [default: greenroom]

          --aws-nat-gateways <0|1|2>
              NAT gateways of a foundation; without one, programs have public addresses that let nothing
              in

              Possible values:
              - 0: Programs have public addresses of their own, into which nothing is let
              - 1
              - 2: One in each zone
              
              [env: GREENROOM_AWS_NAT_GATEWAYS]
              [default: 0]

          --aws-preview-capacity <CAPACITY>
              What previews run on

              Possible values:
              - fargate
              - fargate-spot: Much cheaper; AWS may take a task away with two minutes' notice
              
              [env: GREENROOM_AWS_PREVIEW_CAPACITY]
              [default: fargate]

          --aws-permissions-boundary <ARN>
              The ARN of a policy that bounds every role that is made
              
              [env: GREENROOM_AWS_PERMISSIONS_BOUNDARY]

          --proxy-listen <ADDRESS>
              Where stages on this machine answer
              
              [env: GREENROOM_PROXY_LISTEN]
              [default: 127.0.0.1:8088]

          --allow <REPOSITORIES>
              Repositories that are served: owner/name or owner/*; without it, none
              
              [env: GREENROOM_ALLOW]

          --zones <ZONES>
              Zones that only these repositories may use: zone=owner/name,...
              
              [env: GREENROOM_ZONES]

          --build-deadline <TIME>
              How long one build may take before it is given up
              
              [env: GREENROOM_BUILD_DEADLINE]
              [default: 1h]

          --log <FILTER>
              What is logged: error, warn, info, debug, or filters such as greenroom=debug
              
              [env: GREENROOM_LOG]
              [default: info]

          --log-format <LOG_FORMAT>
              How log lines look

              Possible values:
              - text: For people
              - json: One JSON object a line
              
              [env: GREENROOM_LOG_FORMAT]
              [default: text]

      -h, --help
              Print help (see a summary with '-h')

    Secrets come by the environment alone:
      GREENROOM_WEBHOOK_SECRET           the secret of the GitHub App's webhook
      GREENROOM_WEBHOOK_SECRET_PREVIOUS  still accepted while a new one is rolled out
      GREENROOM_GITHUB_PRIVATE_KEY       the App's private key as PEM, in base64 too, or its file

    Examples:
      greenroom serve --github-app-id 12345 --allow acme/shop,acme/web
      greenroom serve --github-app-id 12345 --allow acme/shop --target local
      GREENROOM_DATABASE_URL=postgres://greenroom@db/greenroom greenroom serve --github-app-id 12345
    ");
}

#[tokio::test]
async fn help_of_status() {
    assert_snapshot!(help("status").await, @r#"
    List the stages

    Usage: greenroom status [OPTIONS]

    Options:
          --json                Print results as JSON
          --repo <OWNER/NAME>   Only those of this repository
          --all                 Those that are gone too
          --database-url <URL>  The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>`
                                for several servers [env: GREENROOM_DATABASE_URL] [default:
                                sqlite://greenroom.db]
      -h, --help                Print help

    Examples:
      greenroom status
      greenroom status --repo acme/shop --all
      greenroom --json status | jq -r '.[] | select(.state == "failed") | .stage'
    "#);
}
