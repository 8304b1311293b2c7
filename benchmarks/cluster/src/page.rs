//! Keeps a run's text between the markers of a page.

use std::path::Path;

/// Replaces what is between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
pub fn keep(page: &Path, name: &str, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let old = std::fs::read_to_string(page).map_err(failed)?;
    let new = replaced(&old, name, text)
        .ok_or_else(|| format!("{} has no markers of {name}", page.display()))?;
    std::fs::write(page, new).map_err(failed)
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb";
        let new = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb";
        assert_eq!(replaced(page, "x", "new\n").as_deref(), Some(new));
        assert_eq!(replaced(page, "y", "new\n"), None);
    }
}
