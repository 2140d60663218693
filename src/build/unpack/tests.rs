//! A table of archives that want to get out, and what an honest one becomes.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use super::*;

/// One entry, written without the tar crate's own checks of names.
struct Entry<'a> {
    kind: EntryType,
    name: &'a str,
    link: &'a str,
    mode: u32,
    body: &'a [u8],
}

fn file<'a>(name: &'a str, body: &'a str) -> Entry<'a> {
    Entry { kind: EntryType::Regular, name, link: "", mode: 0o644, body: body.as_bytes() }
}

fn of_kind<'a>(kind: EntryType, name: &'a str, link: &'a str) -> Entry<'a> {
    Entry { kind, name, link, mode: 0o777, body: b"" }
}

fn link<'a>(name: &'a str, target: &'a str) -> Entry<'a> {
    of_kind(EntryType::Symlink, name, target)
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_size(entry.body.len() as u64);
        let raw = header.as_ustar_mut().expect("a ustar header");
        raw.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        raw.linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(entry.body);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    zipped(&tar)
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn small() -> UnpackLimits {
    UnpackLimits { total_bytes: 64 << 10, entries: 20, path_bytes: 80, name_bytes: 600, depth: 8 }
}

/// Unpacks two folders deep, and answers the result with everything that lies outside the folder.
fn attempt(bytes: &[u8]) -> (Result<()>, Vec<PathBuf>) {
    let world = tempfile::tempdir().expect("a temporary folder");
    let folder = world.path().join("yard/house");
    fs::create_dir_all(&folder).expect("a folder");
    let result = unpack(bytes, &folder, &small(), &Demand::lasting());
    let mut outside = Vec::new();
    for (place, own) in [(world.path(), "yard"), (&world.path().join("yard"), "house")] {
        for entry in fs::read_dir(place).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_name() != own {
                outside.push(entry.path());
            }
        }
    }
    (result, outside)
}

#[test]
fn what_wants_out_or_too_much_is_refused_and_leaves_nothing_outside() {
    let long = "a".repeat(90);
    let big = "b".repeat(70 << 10);
    let many: Vec<String> = (0..21).map(|n| format!("top/{n}")).collect();
    let bushy: Vec<String> = (0..4).map(|n| format!("top/{n}/a/b/c/d/e/f")).collect();
    let wordy: Vec<String> = (0..10).map(|n| format!("top/{n}{}", "w".repeat(70))).collect();
    let deep = format!("top{}", "/d".repeat(9));
    let pax_size = "12 size=999\n";
    let pax_path = "21 path=../../escape\n";
    let huge_pax = "x".repeat((1 << 20) + 512);
    let cases: Vec<(&str, Vec<Entry<'_>>, &str)> = vec![
        ("absolute name", vec![file("/etc/greenroom-was-here", "x")], "absolute name"),
        ("up", vec![file("top/../../escape", "x")], "`..`"),
        ("up as the top", vec![file("../escape", "x")], "`..`"),
        ("up by an extended header", vec![of_pax(pax_path), file("top/fine", "x")], "`..`"),
        ("absolute link", vec![link("top/l", "/etc/passwd")], "leads out"),
        ("link out", vec![link("top/l", "../escape")], "leads out"),
        ("link out through a link", vec![link("top/a", "."), link("top/b", "a/a/../..")], "leads out"),
        ("file through a link", vec![link("top/l", "d"), file("top/l/f", "x")], "goes through"),
        ("file over a link", vec![link("top/l", "f"), file("top/l", "x")], "goes through"),
        ("link over a folder", vec![file("top/l/f", "x"), link("top/l", "d")], "twice"),
        ("link over a file", vec![file("top/l", "x"), link("top/l", "d")], "twice"),
        ("hard link", vec![of_kind(EntryType::Link, "top/h", "../../../etc/passwd")], "hard link"),
        ("hard link inside", vec![file("top/f", "x"), of_kind(EntryType::Link, "top/h", "top/f")], "hard link"),
        ("device", vec![of_kind(EntryType::Char, "top/null", "")], "device"),
        ("block device", vec![of_kind(EntryType::Block, "top/disk", "")], "device"),
        ("pipe", vec![of_kind(EntryType::Fifo, "top/pipe", "")], "pipe"),
        ("unknown kind", vec![of_kind(EntryType::new(b'Z'), "top/z", "")], "unknown kind"),
        ("twice", vec![file("top/f", "x"), file("top/f", "y")], "twice"),
        ("file as folder", vec![file("top/f", "x"), file("top/f/g", "y")], "as a file and as a folder"),
        ("two tops", vec![file("top/f", "x"), file("other/f", "y")], "more than one top folder"),
        ("long name", vec![file(&long, "x")], "more than 80 bytes"),
        ("large", vec![file("top/big", &big)], "larger than 65536 bytes"),
        ("many", many.iter().map(|name| file(name, "")).collect(), "more than 20 entries"),
        ("folders that no entry names", bushy.iter().map(|name| file(name, "")).collect(), "more than 20 entries"),
        ("links in such folders", bushy.iter().map(|name| link(name, "x")).collect(), "more than 20 entries"),
        ("much in names", wordy.iter().map(|name| file(name, "")).collect(), "more than 600 bytes together"),
        ("much in targets", wordy.iter().map(|name| link(&name[..6], name)).collect(), "more than 600 bytes together"),
        ("deep", vec![file(&deep, "")], "more than 8 folders deep"),
        ("below a link that comes later", below_a_link(), "below its symbolic link"),
        ("size by an extended header", vec![of_pax(pax_size), file("top/f", "x")], "8 GiB"),
        ("endless extended header", vec![of_pax(&huge_pax), file("top/f", "x")], "larger than"),
        ("nothing", vec![], "empty"),
    ];
    for (case, entries, reason) in cases {
        let (result, outside) = attempt(&archive(&entries));
        match result {
            Err(UnpackError::Refused(text)) => assert!(text.contains(reason), "{case}: {text}"),
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(outside, Vec::<PathBuf>::new(), "{case}");
    }
    assert!(!Path::new("/etc/greenroom-was-here").exists());
}

/// From `top/a/b` the first leads to `top/escape`; made by way of the second, it would lie two folders
/// higher up.
fn below_a_link<'a>() -> Vec<Entry<'a>> {
    vec![link("top/a/b/l", "../../escape"), link("top/a/b", "..")]
}

fn of_pax(body: &str) -> Entry<'_> {
    Entry { kind: EntryType::XHeader, name: "pax", link: "", mode: 0o644, body: body.as_bytes() }
}

#[test]
fn an_extended_header_is_capped_by_itself() {
    let huge = "x".repeat((1 << 20) + 512);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result =
        unpack(archive(&[of_pax(&huge)]).as_slice(), folder.path(), &UnpackLimits::default(), &Demand::lasting());
    assert!(matches!(&result, Err(UnpackError::Refused(text)) if text.contains("extended header")), "{result:?}");
}

#[test]
fn a_file_s_name_that_no_disk_takes_is_refused() {
    let name = record("path", &format!("top/{}", "p".repeat(256)));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = archive(&[of_pax(&name), file("top/short", "")]);
    let result = unpack(bytes.as_slice(), folder.path(), &UnpackLimits::default(), &Demand::lasting());
    assert!(matches!(&result, Err(UnpackError::Refused(text)) if text.contains("more than 255 bytes")), "{result:?}");
}

#[test]
fn two_thousand_links_through_each_other_are_unpacked_as_they_are() {
    let long = "x/../".repeat(150);
    let names: Vec<String> = (0..=2_000).map(|n| format!("top/l{n}")).collect();
    let targets: Vec<String> =
        (0..2_000).map(|n| record("linkpath", &format!("{long}{}", &names[n + 1][4..]))).collect();
    let entries: Vec<Entry<'_>> =
        (0..2_000).flat_map(|n| [of_pax(&targets[n]), link(&names[n], "overridden")]).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = archive(&entries);
    unpack(bytes.as_slice(), folder.path(), &UnpackLimits::default(), &Demand::lasting()).expect("they stay inside");
    let last = fs::read_link(folder.path().join("l1999")).expect("a link");
    assert_eq!(last, Path::new(&format!("{long}l2000")));
}

/// A line of an extended header: its length comes first, and counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let digits = (rest.len() + 4).to_string().len();
    format!("{}{rest}", rest.len() + digits)
}

#[test]
fn nothing_is_unpacked_that_nobody_waits_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = archive(&[file("top/f", "x")]);
    let result = unpack(bytes.as_slice(), folder.path(), &UnpackLimits::default(), &Demand::over());
    assert!(matches!(result, Err(UnpackError::Broken(_))), "{result:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn an_archive_cut_short_is_broken_wherever_it_is_cut() {
    let whole = archive(&[file("top/a", "first"), file("top/b", &"second".repeat(500))]);
    for cut in 1..whole.len() {
        let (result, _) = attempt(&whole[..cut]);
        assert!(matches!(result, Err(UnpackError::Broken(_))), "cut at {cut} of {}: {result:?}", whole.len());
    }
    assert!(attempt(&whole).0.is_ok());
}

#[test]
fn bytes_that_are_no_archive_are_refused() {
    for bytes in [b"<html>not found</html>".to_vec(), zipped(&[7; 2048])] {
        let (result, _) = attempt(&bytes);
        assert!(matches!(result, Err(UnpackError::Refused(_))), "{result:?}");
    }
}

#[test]
fn an_honest_archive_becomes_its_tree_without_the_top_folder() {
    let long = format!("30 path=top/{}\n", "n".repeat(17));
    let run = Entry { mode: 0o4777, ..file("top/bin/run", "#!/bin/true\n") };
    let bytes = archive(&[
        of_kind(EntryType::XGlobalHeader, "pax_global_header", ""),
        of_kind(EntryType::Directory, "top/", ""),
        of_kind(EntryType::Directory, "top/bin/", ""),
        run,
        link("top/start", "bin/run"),
        link("top/bin/up", "../start"),
        of_pax(&long),
        file("top/short", "named by its extended header"),
    ]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    unpack(bytes.as_slice(), folder.path(), &small(), &Demand::lasting()).expect("an honest archive");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
    assert_eq!(read("bin/run"), "#!/bin/true\n");
    assert_eq!(read("bin/up"), "#!/bin/true\n");
    assert_eq!(read(&"n".repeat(17)), "named by its extended header");
    let mode = |name: &str| fs::metadata(folder.path().join(name)).expect(name).permissions().mode() & 0o7777;
    assert_eq!((mode("bin/run") & 0o7100, mode(&"n".repeat(17)) & 0o7111), (0o100, 0), "the executable bit alone");
}
