//! What is fetched, however it is written. The engines' own reading is tried in
//! `tests/isolation_docker.rs`.

use super::*;

fn judge(text: &str, place: Where) -> Result<Vec<String>, String> {
    let arguments = BTreeMap::from([("GIVEN".to_owned(), "debian:12".to_owned())]);
    match read(text.as_bytes(), &arguments, place) {
        Ok(images) => Ok(images.into_iter().map(|image| image.name).collect()),
        Err(refusal) => Err(refusal.reason),
    }
}

fn images(text: &str) -> Vec<String> {
    judge(text, Where::Engine).unwrap_or_else(|reason| panic!("{text}: {reason}"))
}

#[test]
fn an_address_is_found_however_it_is_written() {
    for text in [
        "ADD http://127.0.0.1/ /x",
        "ADD https://169.254.169.254/latest/meta-data/ /x",
        "add HTTP://localhost/ /x",
        "AdD\thttp://localhost/ /x",
        "  \t ADD http://localhost/ /x",
        "\u{feff}ADD http://localhost/ /x",
        "ADD --chown=1:1 --checksum=sha256:00 http://localhost/ /x",
        "ADD a b http://localhost/ /x/",
        "ADD \"http://localhost/\" /x",
        "ADD h\"tt\"p://localhost/ /x",
        "ADD 'http:'//localhost/ /x",
        "ADD ht\\tp://localhost/ /x",
        "ADD [\"http://localhost/\", \"/x\"]",
        "ADD [\"a\",\"http://localhost/\",\"/x\"]",
        "ADD [\"http:\\/\\/localhost/\",\"/x\"]",
        "ADD [\"http:\\u002f\\u002flocalhost/\", \"/x\"]",
        "ADD --chown=1 [\"\\u0068ttp://localhost/\", \"/x\"]",
        "ADD \\\n http://localhost/ /x",
        "ADD htt\\\np://localhost/ /x",
        "ADD htt\\  \t\np://localhost/ /x",
        "ADD htt\\\r\np://localhost/ /x\r",
        "ADD \\\n# a comment\n\nhttp://localhost/ /x",
        "ADD \\\n  # a comment \\\nhttp://localhost/ /x",
        "ADD htt`\np://localhost/ /x",
        "ADD ht\\\\\ntp://localhost/ /x",
        "ADD git@github.com:acme/secret.git /x",
        "ADD ssh://git@host/x /x",
        "ADD git://host/x.git#main /x",
        "ADD github.com/acme/x /x",
        "ONBUILD ADD http://localhost/ /x",
        "OnBuild\tadd http://localhost/ /x",
        "ONBU\u{130}LD ADD http://localhost/ /x",
        "ONBUILD ONBUILD ADD http://localhost/ /x",
        // Whether the second line begins anything is a matter between engines.
        "RUN true \\\n  # a comment\nADD http://localhost/ /x",
        "RUN true \\\\\nADD http://localhost/ /x",
        "RUN true `\nADD http://localhost/ /x",
        "RUN true \\\n\nADD http://localhost/ /x",
        "RUN <<EOF\nADD http://localhost/ /x\nEOF",
        "RUN <<\"EOF\\\\\"\nEOF\\\nADD http://localhost/ /x",
        "COPY <<EOF /a\nEOF\nADD http://localhost/ /x",
        // A variable may hold anything: an `ENV` of the base image counts as well.
        "ADD $URL /x",
        "ADD ${URL} /x",
        "ENV U=http\nADD $U://localhost /x",
        "ADD ${X:-http://localhost} /x",
        "ADD http:/$X /x",
        "ADD http$X /x",
        "ADD ht${X}tp /x",
        "ADD git@$X /x",
        "ADD \"$URL\" /x",
        "ADD \\$URL /x",
        "ADD [\"$URL\", \"/x\"]",
        "ADD a $URL /x",
        "ADD github.com/$X /x",
        "# escape=`\nFROM scratch",
        "#Escape = ` \nFROM scratch",
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch",
    ] {
        let whole = format!("{text}\nFROM scratch\n");
        assert!(judge(&whole, Where::Engine).is_err(), "{text:?}");
        assert!(judge(&format!("FROM scratch\n{text}"), Where::Engine).is_err() || text.contains("scape"), "{text:?}");
    }
}

#[test]
fn what_fetches_nothing_is_built() {
    for text in [
        "",
        "ADD app.tar /x",
        "ADD --chown=1:1 a b /x/",
        "ADD [\"a b\", \"/x\"]",
        "ADD ./$NAME /x",
        "ADD /$NAME/x /x",
        "ADD dist/${VERSION}.tar $HOME/",
        "ADD a $HOME",
        "# ADD http://localhost/ /x",
        "  # ADD http://localhost/ /x",
        "RUN wget http://localhost/",
        "RUN a \\\n  # why\n  && add-apt-repository x \\\n  && copy",
        "RUN echo $((1<<2))",
        "LABEL a=http://x",
        "ENV A=http://x",
        "COPY http://x /y",
        "ADDRESS http://x",
        "ADD\u{301} http://x /y",
        "# escape=\\",
        "# syntax=some/frontend",
        "ONBUILD RUN true",
    ] {
        assert_eq!(judge(&format!("{text}\nFROM scratch\n"), Where::Engine), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn every_image_is_named() {
    let table: &[(&str, &[&str])] = &[
        ("FROM scratch", &[]),
        ("FROM node:22", &["node:22"]),
        ("from --platform=linux/arm64 node AS base\nFROM base\nFROM BASE AS x", &["node"]),
        ("FROM no\\\nde", &["node"]),
        ("FROM \\\n# why\nnode", &["node"]),
        ("ARG V=22\nFROM node:$V", &["node:22"]),
        ("ARG V=22\nFROM node:${V}-slim", &["node:22-slim"]),
        ("ARG V\nFROM node:${V:-20}", &["node:20"]),
        ("ARG V='22'\nFROM node:$V", &["node:22"]),
        ("ARG GIVEN=x\nFROM $GIVEN", &["debian:12"]),
        ("FROM scratch\nCOPY --from=greenroom/a/b /x /y", &["greenroom/a/b"]),
        ("FROM scratch\ncopy --chown=1 --from=sha256:00 /x /y", &["sha256:00"]),
        ("FROM scratch\nCOPY --from=dead\\\nbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nONBUILD COPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch AS a\nFROM scratch\nCOPY --from=a /x /y\nCOPY --from=0 /x /y\nCOPY --from=00 /x /y", &[]),
        ("FROM scratch AS a\nFROM scratch\nFROM a\nCOPY --from=A /x /y\nCOPY --from=1 /x /y", &[]),
        // An address is no list, and what follows the flags may be one.
        ("FROM [::1]:5000/x", &["[::1]:5000/x"]),
        ("FROM scratch\nCOPY --from=[::1]:5000/x [\"/x\", \"/y\"]", &["[::1]:5000/x"]),
        ("FROM scratch\nCOPY --from=greenroom/a [\"/x\", \"/y\"]", &["greenroom/a"]),
        ("FROM scratch\nCOPY --from=deadbeef /caf\u{e0} \"/a file\" /y", &["deadbeef"]),
        // A name over several lines.
        ("FROM scratch\nCO\\\nPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FRO\\\n# why\n\nM deadbeef", &["deadbeef"]),
        ("\\\nFROM deadbeef", &["deadbeef"]),
        ("FROM scratch\nONB\\\nUILD COPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nONBUILD CO\\\nPY --from=deadbeef /x /y", &["deadbeef"]),
        // Neither is a heredoc for everybody, nor is a stage in it one.
        (
            "FROM scratch\nONBUILD RUN <\\\n<E\nFROM scratch AS deadbeef\nFROM scratch\nE\nCOPY --from=deadbeef /x /y",
            &["deadbeef"],
        ),
        // Comments begin and end nothing.
        ("# x \\\nFROM node AS a\nFROM a", &["node"]),
        ("ARG BASE=127.0.0.1:5000/x\nFROM $BASE", &["127.0.0.1:5000/x"]),
        ("ARG PORT=5000\nFROM localhost:${PORT}/x", &["localhost:5000/x"]),
        // A number that is no stage's.
        ("FROM scratch\nCOPY --from=219649 /x /y", &["219649"]),
        ("FROM scratch\nCOPY --from=123456789012 /x /y", &["123456789012"]),
        ("FROM scratch\nCOPY --from=99999999999999999999 /x /y", &["99999999999999999999"]),
        ("FROM scratch\nFROM scratch\nCOPY --from=0 /x /y\nCOPY --from=1 /x /y\nCOPY --from=2 /x /y", &["1", "2"]),
        ("FROM scratch\nRUN <<E\nFROM scratch\nE\nCOPY --from=0 /x /y", &["0"]),
        ("FROM scratch\nONBUILD COPY --from=219649 /x /y", &["219649"]),
        // The stage that is being built is an image by its name, with Docker's first builder.
        ("FROM scratch AS deadbeef\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch AS DeadBeef\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch AS deadbeef\nONBUILD COPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch AS deadbeef\nRUN x \\\nFROM scratch\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        // A stage that is not there yet, or is none with some engine.
        ("FROM scratch\nCOPY --from=deadbeef /x /y\nFROM scratch AS deadbeef", &["deadbeef"]),
        ("FROM scratch\nRUN x \\\nFROM scratch AS deadbeef\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nRUN x \\\n # y\nFROM scratch AS deadbeef\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nRUN x `\nFROM scratch AS deadbeef\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nRUN <<E\nFROM scratch AS deadbeef\nE\nCOPY --from=deadbeef /x /y", &["deadbeef"]),
        ("RUN <<EOF\nFROM deadbeef\nEOF\nFROM scratch", &["deadbeef"]),
    ];
    for (text, names) in table {
        assert_eq!(images(text), *names, "{text}");
    }
}

#[test]
fn an_image_that_is_not_known_is_refused() {
    for text in [
        "FROM $X",
        "FROM ${X:-node}",
        "ARG X=$Y\nFROM $X",
        "ARG X=a\nARG X=b\nFROM $X",
        "ARG X=a\\b\nFROM $X",
        "RUN x \\\nARG X=a\nFROM $X",
        "RUN <<E\nE\nARG X=a\nFROM $X",
        "FROM scratch\nARG X=a\nFROM $X",
        "ARG X=a\nFROM ${X#a}",
        "ARG X=a\nFROM ${X:+b}",
        "ARG X=a\nFROM ${X",
        "FROM $TARGETARCH",
        "FROM scratch\nCOPY --from=$X /x /y",
        "FROM scratch\nCOPY --from=a;b /x /y",
        "FROM n\u{f6}de",
    ] {
        assert!(judge(text, Where::Engine).is_err(), "{text}");
    }
}

/// Each was seen to have Docker 20.10 or a newer one copy another's image, or ask an address, while it looked like
/// something else here.
#[test]
fn what_engines_read_differently_is_refused() {
    for text in [
        "FROM scratch\nAD\\\nD http://localhost/ /x",
        "FROM scratch\nA\\\n# c\n\nDD http://localhost/ /x",
        "FROM scratch\nADD --chown=0$\u{e0}http://localhost/ /x",
        "FROM scratch\nCOPY --chown=0$\u{e0}--from=deadbeef /secret /x",
        "FROM scratch\nCOPY --chown=0$\u{c5}--from=deadbeef /secret /x",
        "FROM scratch AS as\nLABEL a=b\nFROM --platform=linux/amd64$\u{e0}deadbeef as z",
        "FROM --platform=\"linux/amd64${Q:+ scratch }\" deadbeef",
        "FROM --platform=linux/amd64${Q:+\\ scratch\\ } deadbeef",
        "FROM --platform=\"linux/amd64${Q:+ scratch AS deadbeef }\" scratch\nFROM scratch\nCOPY --from=deadbeef /x /y",
        "FROM scratch\nCOPY --chown=\"0${Q:+ [ }\" --from=\"deadbeef\" /secret /x",
        "FROM scratch\nCOPY --fr\\om=deadbeef /x /y",
        "FROM scratch\nCOPY -- --from=deadbeef /x /y",
        "FROM scratch\nCOPY \u{b}--from=deadbeef /x /y",
        "FROM scratch\nADD [x http:\"//\"127.0.0.1:7777/ /x",
        "FROM scratch\nADD [\"http:\\\"//\\\"127.0.0.1:7777/\", \"/x\"]",
        "FROM scratch\nADD [\"ht'tp:/'/127.0.0.1:7777/\", \"/x\"]",
        "FROM scratch\nADD --chown=\"0${Q:+ x }\" [\"http:\\u002f\\u002f127.0.0.1:7777/\", \"/x\"]",
        "FROM scratch\nENV U=http://localhost\nADD $U --x",
        "FROM scratch\nENV U=http://localhost\nADD $U \"\"",
        "FROM scratch\nENV U=http://localhost\nADD [\"$U\", \"--x\"]",
        "FROM scratch\nENV U=http://localhost\nADD [\"$U\", \"\"]",
        "FROM scratch AS deadbeeflabel\nLABEL x=y\nFROM deadbeef\\\u{a0}\nlabel a=b",
        "FROM scratch AS deadbeeflabel\nLABEL x=y\nFROM deadbeef\\\\\nlabel a=b",
        "FROM scratch AS q\nONB\\\nUILD ADD http://localhost/ /x\nFROM q",
        "FROM scratch AS q\nONBUILD ADD --chown=0$\u{e0}http://localhost/ /x\nFROM q",
        "FROM scratch\nENV F=from\nCOPY --${F}=deadbeef\u{e0} /secret /x",
        "FROM \"node\"",
        "FROM dead\\beef",
        "FROM node # main",
        "FROM -h",
        "FROM scratch\nCOPY --from=--help /x /y",
        // What `FROM` begins with.
        "ARG Q=\"a P=evil.example/x/ b\"\nFROM ${P}deadbeef",
        "ARG Q=a\\ P=evil.example/x/\nFROM ${P}deadbeef",
        "ARG --x=\" P=evil.example/x/ \" Q=1\nFROM ${P}deadbeef",
        "ARG A=P\nARG P=evil.example/x/\nARG $A=\nFROM ${P}deadbeef",
        "ARG P=evil.example/x/\nARG --x\u{e0}P=\nFROM ${P}deadbeef",
        "ARG P=evil.example/x/\nARG \u{feff}P=\nFROM ${P}deadbeef",
        "ARG P=evil.example/x/\nAR\\\nG P=\nFROM ${P}deadbeef",
        "ARG P=evil.example/x/\nONBUILD ARG P=\nFROM ${P}deadbeef",
        "# x \\\nFROM scratch\nARG P=evil.example/x/\nFROM ${P}deadbeef",
        "\\\nFROM scratch\nARG P=evil.example/x/\nFROM ${P}deadbeef",
        "ARG 1deadbeef=evil.example/x\nFROM $1deadbeef",
        "ARG A=1 B=2\nFROM node:$A",
        "ARG TARGETARCH=amd64\nFROM base-$TARGETARCH",
        "ARG NO_PROXY=evil.example\nFROM ${NO_PROXY}/x",
        "ARG http_proxy=evil.example\nFROM ${http_proxy}/x",
        "FROM scratch\nONBUILD \u{feff}FROM scratch AS deadbeef\nFROM scratch\nCOPY --from=deadbeef /x /y",
        "FROM scratch\nONBUILD ONBUILD FROM scratch AS deadbeef\nFROM deadbeef",
        "FROM --platform=$BUILDPLATFORM node",
    ] {
        assert!(judge(text, Where::Engine).is_err(), "{text}");
    }
    let arguments = BTreeMap::new();
    let read = read(b"ARG ON=linux/arm64\nFROM --platform=$ON node", &arguments, Where::Engine).expect("it is plain");
    let expected = Image { name: "node".into(), platform: Some("linux/arm64".into()) };
    assert_eq!(read.into_iter().collect::<Vec<_>>(), [expected]);
}

#[test]
fn apart_from_the_engine_nothing_hides_a_name() {
    const PLACE: &str = "reg.example/greenroom/x";
    for text in [
        "FROM reg.example/greenroom/x",
        "FROM scratch\nCO\\\nPY --from=reg.example/greenroom/x /x /y",
        "FROM scratch\nRUN --mount=type=cache,target=/x \\\n  --mount=type=bind,from=reg.example/greenroom/x,target=/y z",
        "ARG X=a\nARG X=b\n# c \\\nFROM reg.example/greenroom/x$X",
        "ARG X=reg.example/greenroom/x\nRUN : $((1<<2))\nFROM $X",
        "RUN : $((1<<2))\nFROM ${X:-reg.example/greenroom/x}",
        "RUN : $((1<<2))\nFROM reg.example/greenroom/x$X",
        "RUN : $((1<<2))\nFROM --platform=\"a b\" reg.example/greenroom/x",
        "RUN : $((1<<2))\nCOPY --chown=\"a b\" \"--from=reg.example/greenroom/x\" /x /y",
        "ARG A=1 B=2\nRUN : $((1<<2))\nFROM $B",
        "RUN : $((1<<2))\nCOPY --chown=0$\u{e0}--from=reg.example/greenroom/x:1 /x /y",
        "RUN : $((1<<2))\nFROM \u{feff}reg.example/greenroom/x:1",
        "RUN : $((1<<2))\nFROM --platform=a\u{a0}reg.example/greenroom/x:1",
        "RUN : $((1<<2))\nRUN --mount=\"type=bind,target=/a b,from=reg.example/greenroom/x:1\" z",
        "RUN : $((1<<2))\nRUN --mount=type=bind,target=/a\\ b,FROM=reg.example/green\"room\"/x:1 z",
        "ARG TARGETSTAGE\nFROM ${TARGETSTAGE:-evil.example}/greenroom/x AS reg.example",
    ] {
        let may_be = |name: &String| name.starts_with(PLACE) || name.starts_with('$');
        assert!(judge(text, Where::Apart).is_ok_and(|names| names.iter().any(may_be)), "{text}");
    }
    for text in [
        "FROM scratch\nRUN --mount=\"type=tmpfs,target=/a b\" --mount=type=bind,from=reg.example/greenroom/x,target=/y z",
        "FROM scratch\nCOPY --chown=0$\u{e0}--from=reg.example/greenroom/x /x /y",
        "{\"syntax\":\"evil/frontend\",\"a\":\"b=c\"}",
    ] {
        assert!(judge(text, Where::Apart).is_err(), "{text}");
    }
    // A script is no instruction, whatever its lines begin with.
    let script =
        "FROM scratch\nRUN <<E\nfrom pathlib import Path\nfrom \"$X\" import (a, b)\ncopy --from='b' $c\nadd 1 'x'\nE";
    assert_eq!(judge(script, Where::Apart), Ok(Vec::new()));
}

#[test]
fn apart_from_the_engine_only_names_count() {
    let apart = |text: &str| judge(text, Where::Apart);
    assert_eq!(apart("FROM scratch\nADD http://localhost/ /x"), Ok(Vec::new()));
    let mount = "FROM scratch\nRUN --mount=type=bind,from=r.example/x,target=/x --network=none cp a from=b";
    assert_eq!(apart(mount), Ok(vec!["r.example/x".to_owned()]));
    assert_eq!(apart("FROM base-$TARGETARCH"), Ok(vec!["base-$TARGETARCH".to_owned()]));
    assert_eq!(apart("FROM scratch\nRUN <<E\nselect 1\nfrom $TABLE\nE"), Ok(Vec::new()));
    for own in ["docker/dockerfile:1", "docker/dockerfile:1.4", "docker.io/docker/dockerfile:1.12-labs"] {
        assert_eq!(apart(&format!("# syntax={own}\nFROM scratch")), Ok(Vec::new()), "{own}");
    }
    for text in [
        "# syntax=evil/frontend",
        "#syntax = docker/dockerfile:1.2",
        "# Syntax=docker/dockerfile",
        "# syntax=docker/dockerfile:1@sha256:00",
        "# syntax=docker/dockerfile:1.1 2",
        "# syntax=docker/dockerfile:1.4-labs x",
        "# \t syntax = evil/frontend",
        "#!/usr/bin/x\n# syntax=evil/frontend",
        "# escape=\\\n# syntax=evil/frontend",
        "// syntax=evil/frontend",
        "{\"syntax\": \"evil/frontend\"}",
        "\u{feff}# syntax=evil/frontend",
    ] {
        assert!(apart(&format!("{text}\nFROM scratch")).is_err(), "{text}");
    }
}

#[test]
fn reading_has_an_end() {
    let begun = "ADD \\\n".repeat(MOST_BYTES / 6);
    assert!(judge(&begun, Where::Engine).is_err_and(|reason| reason.contains("endless")));
    assert!(judge(&"#\n".repeat(MOST_BYTES), Where::Engine).is_err_and(|reason| reason.contains("longer")));
    let many: Vec<String> = (0..=MOST_IMAGES).map(|number| format!("FROM image{number}\n")).collect();
    let many = many.concat();
    assert!(judge(&many, Where::Engine).is_err_and(|reason| reason.contains("images")));
    assert!(read(b"FROM \xff", &BTreeMap::new(), Where::Engine).is_err());
}
