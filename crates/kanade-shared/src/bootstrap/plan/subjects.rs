//! Whether two subject patterns can match the same subject.

/// Whether some subject matches both patterns, as the broker would judge it.
pub(super) fn overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(l), Some(r)) if l == r || l == "*" || r == "*" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// The first pair of patterns, one of each side, that overlap.
pub(super) fn first_overlap<'a>(
    left: &'a [String],
    right: &'a [String],
) -> Option<(&'a str, &'a str)> {
    left.iter().find_map(|l| {
        right
            .iter()
            .find(|r| overlap(l, r))
            .map(|r| (l.as_str(), r.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_subject_matches_both() {
        for (left, right, expected) in [
            ("results.>", "results.>", true),
            ("results.>", "results.pc-1.r", true),
            ("results.*", "results.pc-1", true),
            ("results.*", "results.pc-1.r", false),
            ("results.>", "results", false),
            ("*.pc-1", "results.*", true),
            (">", "results.>", true),
            ("results.a", "results.b", false),
            ("*.a.>", "results.b.c", false),
        ] {
            assert_eq!(expected, overlap(left, right), "{left} and {right}");
            assert_eq!(expected, overlap(right, left), "{right} and {left}");
        }
    }
}
