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
        ("FROM \"node\"", &["node"]),
        ("FROM no\\\nde", &["node"]),
        ("FROM dead\\beef", &["deadbeef"]),
        ("FROM \\\n# why\nnode", &["node"]),
        ("ARG V=22\nFROM node:$V", &["node:22"]),
        ("ARG V=22\nFROM node:${V}-slim", &["node:22-slim"]),
        ("ARG V\nFROM node:${V:-20}", &["node:20"]),
        ("ARG V='22'\nFROM node:$V", &["node:22"]),
        ("ARG GIVEN=x\nFROM $GIVEN", &["debian:12"]),
        ("FROM scratch\nCOPY --from=greenroom/a/b /x /y", &["greenroom/a/b"]),
        ("FROM scratch\ncopy --chown=1 --from=\"sha256:00\" /x /y", &["sha256:00"]),
        ("FROM scratch\nCOPY --fr\\om=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nCOPY --from=dead\\\nbeef /x /y", &["deadbeef"]),
        ("FROM scratch\nONBUILD COPY --from=deadbeef /x /y", &["deadbeef"]),
        ("FROM scratch AS a\nFROM scratch\nCOPY --from=a /x /y\nCOPY --from=0 /x /y\nCOPY --from=00 /x /y", &[]),
        ("FROM scratch AS a\nFROM scratch\nFROM a\nCOPY --from=A /x /y\nCOPY --from=1 /x /y", &[]),
        // An address is no list, and what follows the flags may be one.
        ("FROM [::1]:5000/x", &["[::1]:5000/x"]),
        ("FROM scratch\nCOPY --from=[::1]:5000/x [\"/x\", \"/y\"]", &["[::1]:5000/x"]),
        ("FROM scratch\nCOPY --from=\"greenroom/a\" [\"/x\", \"/y\"]", &["greenroom/a"]),
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
