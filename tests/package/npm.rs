//! The packages of npm, made by the very lines that a release runs, and run by Node.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::release::{House, PLATFORMS};
use crate::world::{PLATFORM, Ran};

const VERSION: &str = "7.8.9";

/// A house whose packages are made and installed: unpacked from what `npm pack` would send.
struct Installed {
    house: House,
}

impl Installed {
    fn new() -> Self {
        let house = House::new();
        house.pack(VERSION);
        assert_eq!(house.release(&["checksums", VERSION, "dist"]).code, Some(0));
        let ran = house.run("node", &["npm/pack.mjs", VERSION, "dist", "packages"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for name in ["greenroom", PLATFORM] {
            let ran = house
                .run("npm", &["pack", "--silent", "--offline", "--cache", ".git/npm", &format!("./packages/{name}")]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let place = format!("node_modules/@greenroom-dev/{name}");
            fs::create_dir_all(house.at(&place)).expect("a folder");
            let ran = house.run("tar", &["-xzf", ran.said.trim(), "--strip-components=1", "-C", &place]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        Self { house }
    }

    fn program(&self) -> PathBuf {
        self.house.at(&format!("node_modules/@greenroom-dev/{PLATFORM}/greenroom"))
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.house.run("node", &[&["node_modules/@greenroom-dev/greenroom/greenroom.js"], arguments].concat())
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.house.at("node_modules/@greenroom-dev").join(file);
        let text = fs::read_to_string(&path).expect("a text");
        assert!(text.contains(from), "{file}: {text}");
        fs::write(path, text.replace(from, to)).expect("it is ours");
    }
}

#[test]
fn the_wrapper_finds_the_program_of_its_platform_and_ends_as_it_does() {
    let installed = Installed::new();
    let ran = installed.run(&["check", "a b", "--json"]);
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "runs check a b --json\n"));
    for name in PLATFORMS {
        let manifest =
            fs::read_to_string(installed.house.at(&format!("packages/{name}/package.json"))).expect("it was made");
        let (os, cpu) = name.split_once('-').expect("two words");
        let os = os.replace("macos", "darwin");
        assert!(manifest.contains(&format!("\"{os}\"")) && manifest.contains(&format!("\"{cpu}\"")), "{manifest}");
        let program = fs::metadata(installed.house.at(&format!("packages/{name}/greenroom"))).expect("it was made");
        assert_eq!(program.permissions().mode() & 0o777, 0o755);
    }
}

type Deed = fn(&Installed);

#[test]
fn what_is_not_what_was_released_is_not_run() {
    let changes: [(&str, Deed); 5] = [
        ("is not what was released", |installed| {
            let mut bytes = fs::read(installed.program()).expect("the program");
            *bytes.last_mut().expect("a byte") ^= 1;
            fs::write(installed.program(), bytes).expect("it is ours");
        }),
        ("stands in the place of", |it| it.change(&format!("{PLATFORM}/package.json"), PLATFORM, "other")),
        ("stands in the place of", |it| it.change(&format!("{PLATFORM}/package.json"), VERSION, "7.8.8")),
        ("has no checksum", |it| it.change("greenroom/checksums.json", PLATFORM, "other")),
        ("is not installed", |installed| {
            let folder = installed.program();
            fs::remove_dir_all(folder.parent().expect("a folder")).expect("it is ours");
        }),
    ];
    for (words, change) in changes {
        let installed = Installed::new();
        change(&installed);
        let ran = installed.run(&["check"]);
        assert!(ran.code == Some(3) && ran.said.contains(words) && !ran.said.contains("runs"), "{words}: {ran:?}");
    }
}

#[test]
fn no_package_is_made_of_what_has_no_checksum() {
    let house = House::new();
    house.pack(VERSION);
    let refuse = |words: &str, version: &str| {
        let ran = house.run("node", &["npm/pack.mjs", version, "dist", "packages"]);
        assert!(ran.code == Some(1) && ran.said.contains(words), "{words}: {ran:?}");
    };
    refuse("does not know version", VERSION);
    refuse("a version such as", "latest");
    assert_eq!(house.release(&["checksums", VERSION, "dist"]).code, Some(0));
    refuse("does not know version", "7.8.8");
    fs::copy(house.at("dist/greenroom-linux-x64.tar.gz"), house.at("dist/greenroom-linux-arm64.tar.gz"))
        .expect("it is ours");
    refuse("is another one", VERSION);
}
