//! JSON pointers (RFC 6901): how every finding says where in a document it stands.
//! Built while walking down, so that a message never has to guess its place.

/// The pointer of the member `key` of the node at `parent`.
#[must_use]
pub fn member(parent: &str, key: &str) -> String {
    let mut pointer = String::with_capacity(parent.len() + key.len() + 1);
    pointer.push_str(parent);
    pointer.push('/');
    for character in key.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

/// The pointer of the element `index` of the list at `parent`.
#[must_use]
pub fn element(parent: &str, index: usize) -> String {
    format!("{parent}/{index}")
}

/// The names along a pointer, unescaped.
pub fn segments(pointer: &str) -> impl DoubleEndedIterator<Item = String> {
    pointer
        .strip_prefix('/')
        .into_iter()
        .flat_map(|segments| segments.split('/'))
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_segment() {
        let pointer = member("/paths", "/auth/~b");
        assert_eq!(pointer, "/paths/~1auth~1~0b");
        assert_eq!(
            segments(&pointer).collect::<Vec<_>>(),
            ["paths", "/auth/~b"]
        );
        assert_eq!(element(&pointer, 2), "/paths/~1auth~1~0b/2");
    }
}
