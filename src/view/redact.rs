//! Removes secrets from texts on their way out.
//!
//! Known values are removed wherever they stand and however they are written, see `known`; unknown ones
//! by their shape. Shapes cannot know every secret: a value that is known must be given. What lies
//! invisibly inside of a secret, such as a colour, hides neither. A text that went through once does
//! not change any more.

use std::sync::LazyLock;

use regex::{Captures, Regex, RegexSet};
use secrecy::SecretString;

use super::clean::bare;
use super::known::known;

/// In place of what has the shape of a secret.
const MASK: &str = "[redacted]";

/// In place of a value that is known.
const KNOWN: &str = "***";

/// What is replaced whole; what is replaced but for a first group that stays.
static SHAPES: LazyLock<(RegexSet, Vec<Regex>)> = LazyLock::new(|| {
    let patterns = [
        // Private keys, also when the log begins or ends inside of one.
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        r"(?:[A-Za-z0-9+/=]{16,}[ \t\r\n]+)*[A-Za-z0-9+/=]*[ \t\r\n]*-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----",
        // GitHub: personal, OAuth, user, server and refresh tokens; GitLab; npm; Slack; Stripe.
        r"\bgh[pousr]_[A-Za-z0-9_.\-]{16,}",
        r"\bgithub_pat_[A-Za-z0-9_]{16,}",
        r"\bglpat-[A-Za-z0-9_\-]{16,}",
        r"\bnpm_[A-Za-z0-9]{30,}",
        r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
        // AWS access key ids, long-lived and temporary.
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        // JSON web tokens.
        r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
        // Headers.
        r#"(?i)(\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer|digest|token|aws4-hmac-sha256)\s+)?)[^\s"',][^"'\r\n]*"#,
        r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=\-]{16,}",
        r#"(?i)(\b(?:set-)?cookie["']?\s*[:=]\s*["']?)[^\s"'][^"'\r\n]*"#,
        // Credentials in addresses: any with a password; a lone user name only over HTTP.
        r#"(?i)(\b[a-z][a-z0-9+.\-]*://)[^\s/"'<>:@]*:[^\s/"'<>]+@"#,
        r#"(?i)(\bhttps?://)[^\s/"'<>:@]+@"#,
        r#"(?i)([?&](?:x-amz-(?:signature|security-token|credential)|sig|signature|access_token)=)[^&\s"'<>]+"#,
        // name=value for names that end in a word for secrets; name: value where no prose is meant.
        r#"(?i)((?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)["']?\s*=\s*)(?:"[^"\r\n]*"|'[^'\r\n]*'|[^\s,;&"']+)"#,
        r#"(?i)((?:password|passwd|passphrase|[_-](?:secret|token|pwd)|[_-]?api[_-]?key|[_-]access[_-]key|private[_-]key)["']?\s*:\s*)(?:"[^"\r\n]*"|'[^'\r\n]*'|[^\s,;&"'}]+)"#,
        r#"(?i)(["'](?:secret|token|key|pwd|credentials?)["']\s*:\s*)(?:"[^"\r\n]*"|'[^'\r\n]*')"#,
        // Arguments of commands: --password x
        r"(?i)(--(?:[a-z\-]*-)?(?:password|passwd|secret|token|api-?key)\s+)[^\s\-][^\s]*",
    ];
    let all = RegexSet::new(patterns).expect("the patterns are fixed");
    (all, patterns.iter().map(|pattern| Regex::new(pattern).expect("the pattern is fixed")).collect())
});

/// The text without the given values, and without anything shaped like a secret.
pub fn redact(text: &str, secrets: &[SecretString]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for found in known(text, secrets) {
        out.push_str(&text[rest..found.start]);
        out.push_str(KNOWN);
        rest = found.end;
    }
    out.push_str(&text[rest..]);
    // Colours stay, unless one of them stands in the way of finding something.
    let seen = bare(&out);
    let shapeless = without_shapes(&seen);
    if seen == out || seen != shapeless { shapeless } else { out }
}

/// The text without anything that is shaped like a secret.
fn without_shapes(text: &str) -> String {
    let mut out = text.to_owned();
    let (all, shapes) = &*SHAPES;
    // One look tells which shapes there are: for nearly every text, none.
    for index in all.matches(&out) {
        let replaced = shapes[index].replace_all(&out, |found: &Captures<'_>| {
            let kept = found.get(1).map_or("", |kept| kept.as_str());
            let quote = quote_of(found, kept.len());
            format!("{kept}{quote}{MASK}{quote}{}", if found[0].ends_with('@') { "@" } else { "" })
        });
        out = replaced.into_owned();
    }
    out
}

/// The same for lines that follow one another: a secret may span several.
pub fn redact_lines(lines: &[String], secrets: &[SecretString]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    redact(&lines.join("\n"), secrets).split('\n').map(str::to_owned).collect()
}

/// The quotation mark around the removed value, which stays so that JSON remains JSON.
fn quote_of<'a>(found: &'a Captures<'_>, kept: usize) -> &'a str {
    let value = &found[0][kept..];
    match value.as_bytes() {
        [first @ (b'"' | b'\''), .., last] if first == last && kept > 0 => &value[..1],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_secrets_are_removed() {
        let cases = [
            ("token ghs_16C7e42F292c6912E7710c838347Ae178B4a ok", "token [redacted] ok"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
            ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "[redacted]"),
            ("id AKIAIOSFODNN7EXAMPLE.", "id [redacted]."),
            ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SECRET_ACCESS_KEY=[redacted]"),
            ("password=hunter2 user=bob", "password=[redacted] user=bob"),
            ("PGPASSWORD='a b' psql", "PGPASSWORD='[redacted]' psql"),
            (r#"{"password":"hunter2","user":"bob"}"#, r#"{"password":"[redacted]","user":"bob"}"#),
            (r#"{"token": "abc"}"#, r#"{"token": "[redacted]"}"#),
            ("DB_PASSWORD: hunter2", "DB_PASSWORD: [redacted]"),
            ("API_KEY: abcdef", "API_KEY: [redacted]"),
            ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
            ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted]"),
            ("-H 'Authorization: token abc' x", "-H 'Authorization: token [redacted]' x"),
            ("Cookie: session=abc; other=def", "Cookie: [redacted]"),
            ("postgres://app:s3cr3t@db:5432/shop", "postgres://[redacted]@db:5432/shop"),
            ("redis://:p@ss@cache:6379", "redis://[redacted]@cache:6379"),
            ("https://x-access-token@github.com/a/b", "https://[redacted]@github.com/a/b"),
            ("GET /x?X-Amz-Signature=abc123&y=1", "GET /x?X-Amz-Signature=[redacted]&y=1"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjM0In0.c2ln", "[redacted]"),
            ("docker login --password hunter2 -u bob", "docker login --password [redacted] -u bob"),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
            ("-----BEGIN PRIVATE KEY-----\nMIIEcut", "[redacted]"),
            ("MIIEowIBAAKCAQEAxyz012\nQUJD\n-----END PRIVATE KEY-----\nb", "MIIEowIBAAKCAQEAxyz012\n[redacted]\nb"),
        ];
        for (raw, clean) in cases.iter().take(cases.len() - 1) {
            assert_eq!(redact(raw, &[]), *clean);
            assert_eq!(redact(clean, &[]), *clean, "redacting twice changes nothing");
        }
        assert!(!redact(cases[cases.len() - 1].0, &[]).contains("MIIE"), "a key whose beginning is cut off");
    }

    #[test]
    fn ordinary_words_stay() {
        let cases = [
            "error: unexpected token: }",
            "the secret is missing: add it to the stage",
            "max_tokens=4096",
            "http://web.localhost:8088/path?x=1",
            "git@github.com:acme/shop.git",
            "ssh://git@github.com/acme/shop",
            "see https://example.com/@scope/pkg",
            "keyboard: ok, monkey=1",
            "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ];
        for text in cases {
            assert_eq!(redact(text, &[]), text);
        }
    }

    #[test]
    fn known_values_are_removed_wherever_they_stand() {
        let secrets =
            ["p@ss w/rd", "abc", "p@ss w/rd-long", "first line of key\nsecond line of key"].map(SecretString::from);
        let text = "x=p@ss w/rd y=p%40ss+w%2Frd z=p@ss w/rd-long abc first line of key";
        assert_eq!(redact(text, &secrets), "x=*** y=*** z=*** abc ***");
        assert_eq!(redact("nothing", &[SecretString::from("")]), "nothing");
    }

    #[test]
    fn a_secret_may_span_lines() {
        let lines = ["start", "-----BEGIN EC PRIVATE KEY-----", "MHcCAQEE", "-----END EC PRIVATE KEY-----", "end"];
        assert_eq!(redact_lines(&lines.map(str::to_owned), &[]), ["start", "[redacted]", "end"]);
        assert_eq!(redact_lines(&[], &[]), [""; 0]);
    }

    /// A value with everything in it that one form or another escapes.
    const VALUE: &str = "p@ss/w+rd \\ \"grün\"&{x}";

    fn gone(text: &str, value: &str) {
        let shown = redact(text, &[SecretString::from(value)]);
        assert!(shown.contains("***") && !shown.contains("p@ss") && !shown.contains("rd"), "{text:?}: {shown:?}");
        assert_eq!(redact(&shown, &[SecretString::from(value)]), shown, "redacting twice changes nothing");
    }

    #[test]
    fn nothing_that_lies_inside_of_a_secret_hides_it() {
        for between in [
            "\u{1b}[31m",
            "\u{1b}[0m",
            "\u{9b}1m",
            "\u{1b}]0;x\u{7}",
            "\u{7}",
            "\0",
            "\u{200b}",
            "<U+200B>",
            "\u{202e}",
            "\n",
            "\r\n",
            "\n    ",
            "\t",
            "\u{ad}",
            "\u{feff}",
        ] {
            let at = VALUE.char_indices().nth(6).expect("it is longer").0;
            gone(&format!("a {}{between}{} z", &VALUE[..at], &VALUE[at..]), VALUE);
            let token = format!("a ghp_abcdefgh{between}ijklmnopqrstuvwxyz0123456789 z");
            let shown = redact(&token, &[]);
            let breaks = between.contains(['\n', '\t']);
            assert!(breaks || (shown.contains(MASK) && !shown.contains("abcd")), "{between:?}: {shown:?}");
        }
        let every: String = VALUE.chars().flat_map(|c| [c, '\u{200b}']).collect();
        gone(&every, VALUE);
        let coloured = "\u{1b}[32mfine\u{1b}[0m";
        assert_eq!(redact(coloured, &[SecretString::from(VALUE)]), coloured, "what hides nothing stays");
    }

    #[test]
    fn a_percent_encoded_secret_is_found() {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let form: String = url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
        let component = utf8_percent_encode(VALUE, NON_ALPHANUMERIC).to_string();
        for text in [form, component.to_lowercase(), component] {
            gone(&format!("GET /?x={text}&y=1"), VALUE);
        }
    }

    #[test]
    fn a_secret_inside_of_json_is_found() {
        let json = serde_json::to_string(VALUE).expect("JSON");
        let ascii = VALUE.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        for text in [json.clone(), json.replace('/', "\\/"), ascii] {
            gone(&format!("{{\"x\": {text}}}"), VALUE);
        }
        gone(r#"{"x": "p@ss\ud83d\ude00 wo\u0072d"}"#, "p@ss\u{1f600} word");
    }

    #[test]
    fn a_secret_in_hexadecimal_is_found() {
        for text in [hex::encode(VALUE), hex::encode_upper(VALUE)] {
            gone(&format!("key {text}."), VALUE);
            let wrapped = format!("key {}\n  {}.", &text[..16], &text[16..]);
            let shown = redact(&wrapped, &[SecretString::from(VALUE)]);
            assert_eq!(shown, "key ***.");
        }
    }

    #[test]
    fn a_secret_in_base64_is_found_wherever_it_begins() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        for (before, after) in [("", ""), ("a", ""), ("ab", "c"), ("user:", ""), ("user:x", "\n"), ("u:", "tail")] {
            let whole = format!("{before}{VALUE}{after}");
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let text = engine.encode(&whole);
                let shown = redact(&format!("key {text}."), &[SecretString::from(VALUE)]);
                let left = shown.replace("***", "");
                assert!(left.len() <= before.len() + after.len() + 9, "{before:?} {after:?}: {shown}");
                let wrapped = format!("{}\n{}", &text[..9], &text[9..]);
                let shown = redact(&wrapped, &[SecretString::from(VALUE)]);
                let left = shown.replace("***", "");
                assert!(left.len() <= before.len() + after.len() + 4, "{before:?} {after:?}: {shown}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_only_what_it_is() {
        let short = [SecretString::from("p@ss+rd")];
        assert_eq!(redact("p@ss+rd p%40ss%2Brd", &short), "*** p%40ss%2Brd");
    }

    #[test]
    fn a_secret_of_several_lines_or_values_is_found_in_its_parts() {
        let json = SecretString::from(r#"{"user": "bob", "password": "correct horse"}"#);
        assert_eq!(redact("bob has correct horse", std::slice::from_ref(&json)), "bob has ***");
        let lines = SecretString::from("first line of key\nsecond line of key");
        assert_eq!(redact("second line of key, first", std::slice::from_ref(&lines)), "***, first");
        let overlapping = ["correct horse", "horse battery"].map(SecretString::from);
        assert_eq!(redact("a correct horse battery z", &overlapping), "a *** z");
    }
}
