//! Log lines have errors together with their causes: `Display` alone leaves the causes out.

use std::fs;

use super::{root, sources};

#[test]
fn a_log_line_has_an_error_with_its_causes() {
    let mut reports = 0;
    for path in sources(&root().join("src")) {
        // What is logged there is a report already.
        if path.ends_with("http/routes/answers.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let bare = ["%cause", "%error"]
                .iter()
                .any(|field| line.contains(field));
            assert!(!bare, "{}: {line}", path.display());
            for value in line.split("cause = %").skip(1) {
                assert!(value.starts_with("report("), "{}: {line}", path.display());
                reports += 1;
            }
        }
    }
    assert!(reports > 20, "the test reads log lines: {reports}");
}
