//! What is in an archive, and when two are the same.

use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

const BUILDX: Tools = Tools::Buildx;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect(name);
}

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [("Dockerfile", "FROM scratch\n"), ("README", "hello"), ("src/deep/x", ""), ("src/main", "1")] {
        write(root.path(), name, text);
    }
    fs::set_permissions(root.path().join("src/main"), Permissions::from_mode(0o744)).expect("a file");
    fs::create_dir(root.path().join("empty")).expect("a folder");
    symlink("src//./main", root.path().join("link")).expect("a link");
    root
}

fn read_with(root: &Path, dockerfile: &str, tools: Tools) -> PortResult<Context> {
    let real = root.join(dockerfile).canonicalize().expect("a Dockerfile");
    Context::read(root, Dockerfile { named: Path::new(dockerfile), real: &real }, tools, &Demand::lasting())
}

fn read(root: &Path) -> Context {
    read_with(root, "Dockerfile", Tools::Legacy).expect("a context")
}

fn bytes(context: &Context) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = Vec::new();
    context.spool(folder.path(), &Demand::lasting()).expect("an archive").read_to_end(&mut bytes).expect("bytes");
    assert_eq!(hex::encode(Sha256::digest(&bytes)), context.digest());
    bytes
}

/// `src/main 755` or `link -> target`, in the order of the archive.
fn listed(context: &Context) -> Vec<String> {
    let bytes = bytes(context);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!((header.uid().ok(), header.gid().ok(), header.mtime().ok()), (Some(0), Some(0), Some(context.time)));
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.link_name_bytes() {
            Some(target) => format!("{path} -> {}", String::from_utf8_lossy(&target)),
            None => format!("{path} {:o}", header.mode().expect("a mode")),
        }
    });
    entries.collect()
}

#[test]
fn an_archive_holds_what_the_folder_does() {
    let root = tree();
    let expected =
        ["./ 755", "Dockerfile 644", "README 644", "empty 755", "link -> src//./main", "src 755", "src/deep 755"];
    let listed = listed(&read(root.path()));
    assert_eq!(listed[..7], expected);
    assert_eq!(listed[7..], ["src/deep/x 644", "src/main 755"]);
}

#[test]
fn equal_trees_have_equal_archives() {
    let (one, two) = (tree(), tree());
    let old = UNIX_EPOCH + Duration::from_secs(1);
    File::open(two.path().join("README")).and_then(|file| file.set_modified(old)).expect("an old file");
    fs::set_permissions(two.path().join("README"), Permissions::from_mode(0o600)).expect("a file");
    assert_eq!(bytes(&read(one.path())), bytes(&read(two.path())));
}

type Change = fn(&Path);

#[test]
fn every_difference_is_one_of_bytes_and_of_times() {
    let changes: [(&str, Change); 9] = [
        ("content", |root| write(root, "README", "hellO")),
        ("name", |root| fs::rename(root.join("README"), root.join("README2")).expect("renamed")),
        ("gone", |root| fs::remove_file(root.join("src/deep/x")).expect("removed")),
        ("new", |root| write(root, "new", "")),
        ("link", |root| {
            fs::remove_file(root.join("link")).expect("removed");
            symlink("src/main", root.join("link")).expect("a link");
        }),
        ("executable", |root| {
            fs::set_permissions(root.join("README"), Permissions::from_mode(0o755)).expect("a file");
        }),
        ("empty folder", |root| fs::remove_dir(root.join("empty")).expect("removed")),
        ("ignore file", |root| write(root, ".dockerignore", "# nothing")),
        ("Dockerfile", |root| write(root, "Dockerfile", "FROM scratch")),
    ];
    let mut seen = vec![read(tree().path())];
    for (what, change) in changes {
        let root = tree();
        change(root.path());
        let context = read(root.path());
        let is_new = seen.iter().all(|other| other.digest != context.digest && other.time != context.time);
        assert!(is_new, "{what}");
        seen.push(context);
    }
    // 1985 and 2019.
    assert!(seen.iter().all(|context| (473_385_600..1_547_200_000).contains(&context.time)));
}

#[test]
fn a_builder_that_leaves_out_by_itself_is_given_what_it_needs_for_that() {
    let root = tree();
    write(root.path(), ".dockerignore", "*\n!src/deep\n");
    let legacy = listed(&read(root.path()));
    assert_eq!(legacy, ["./ 755", ".dockerignore 644", "Dockerfile 644", "src 755", "src/deep 755", "src/deep/x 644"]);
    let buildx = listed(&read_with(root.path(), "Dockerfile", BUILDX).expect("a context"));
    assert_eq!(buildx, ["./ 755", "Dockerfile 644", "src 755", "src/deep 755", "src/deep/x 644"]);
}

#[test]
fn builders_look_for_exceptions_each_in_its_way() {
    let root = tree();
    write(root.path(), ".dockerignore", "*\n!**/main\n");
    let has = |tools| {
        let listed = listed(&read_with(root.path(), "Dockerfile", tools).expect("a context"));
        listed.iter().any(|line| line.starts_with("src/main"))
    };
    assert!(!has(Tools::Legacy), "the first builder does not look into a folder that is left out");
    assert!(has(BUILDX));
}

#[test]
fn a_dockerfile_may_have_an_ignore_file_of_its_own_and_lie_elsewhere() {
    let root = tree();
    let source = root.path().canonicalize().expect("a folder");
    write(&source, "Dockerfile.dockerignore", "link\n");
    write(&source, "src/.dockerignore", "deep\n");
    let of = |tools| {
        let dockerfile = source.join("Dockerfile");
        let named = Dockerfile { named: Path::new("../Dockerfile"), real: &dockerfile };
        Context::read(&source.join("src"), named, tools, &Demand::lasting()).expect("a context")
    };
    let buildx = of(BUILDX);
    assert_eq!(buildx.dockerfile(), ".dockerfile");
    let expected = ["./ 755", ".dockerfile 644", ".dockerignore 644", "deep 755", "deep/x 644", "main 755"];
    assert_eq!(listed(&buildx), expected, "its own ignore file leaves out nothing of this");
    let legacy = of(Tools::Legacy);
    assert_eq!(listed(&legacy), ["./ 755", ".dockerfile 644", ".dockerignore 644", "main 755"]);
    let bytes = bytes(&legacy);
    let rules = b"deep\n\n.dockerfile\n";
    assert!(bytes.windows(rules.len()).any(|window| window == rules), "the engine takes the Dockerfile out again");
    write(&source, "src/.dockerfile", "of the commit");
    assert_eq!(of(BUILDX).dockerfile(), ".dockerfile.other");
}

#[test]
fn names_of_any_length_and_bytes_are_kept() {
    let root = tree();
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9\n\xff");
    write(root.path(), &long, "1");
    fs::write(root.path().join(odd), "2").expect("a file");
    symlink(&long, root.path().join("far")).expect("a link");
    let listed = listed(&read(root.path()));
    assert!(listed.contains(&format!("{long} 644")) && listed.contains(&format!("far -> {long}")), "{listed:?}");
    let bytes = bytes(&read(root.path()));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let is_odd = |entry: io::Result<tar::Entry<'_, _>>| {
        entry.is_ok_and(|e: tar::Entry<'_, &[u8]>| *e.path_bytes() == *odd.as_bytes())
    };
    assert!(archive.entries().expect("an archive").any(is_odd));
}

#[test]
fn a_source_that_changed_meanwhile_is_not_sent() {
    let root = tree();
    let context = read(root.path());
    write(root.path(), "README", "hellO");
    let changed = context.spool(root.path(), &Demand::lasting());
    assert!(matches!(&changed, Err(PortError::Retry { reason, .. }) if reason.contains("changed")), "{changed:?}");
    fs::remove_file(root.path().join("README")).expect("removed");
    assert!(matches!(context.spool(root.path(), &Demand::lasting()), Err(PortError::Retry { .. })));
}

#[test]
fn an_ignore_file_that_cannot_be_followed_is_the_commits_fault() {
    let root = tree();
    let refused = |reason: &str| match read_with(root.path(), "Dockerfile", Tools::Legacy) {
        Err(PortError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Build);
            assert!(failure.summary.starts_with("`.dockerignore` cannot be followed"), "{}", failure.summary);
            assert!(failure.summary.contains(reason), "{}", failure.summary);
        }
        other => panic!("{other:?}"),
    };
    write(root.path(), ".dockerignore", "a\n[b\n");
    refused("`[b`");
    write(root.path(), ".dockerignore", "[b-a]\n");
    refused("`[b-a]`");
    fs::remove_file(root.path().join(".dockerignore")).expect("removed");
    fs::create_dir(root.path().join(".dockerignore")).expect("a folder");
    refused("not a file");
}
