//! Fields of a form that are not read. Most have no meaning here, such as a page's submit button, and are ignored. A misspelt name of a
//! known field, a second file, and a digest that would not be compared are rejected, because their sender relies on them.

use strsim::osa_distance;

use crate::uploads::filename;
use crate::uploads::part::Part;

/// The most bytes of a name that a problem repeats.
const MAX_NAME: usize = 64;
/// Parts by which a field's name is recognised as that of a digest.
const DIGESTS: [&str; 7] = ["md5", "sha1", "sha2", "sha5", "crc32", "digest", "checksum"];

/// Returns the reason to reject a field that the form doesn't take; `None` if it can be ignored.
pub fn slip(part: &Part, taken: &[&str]) -> Option<String> {
    let name = filename::shown(&part.name[..part.name.len().min(MAX_NAME)]);
    let letters: String = name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let is_near = |taken: &&str| osa_distance(taken, &letters) <= 1;
    let is_digest = DIGESTS.iter().any(|digest| letters.contains(digest));
    let is_slip = part.filename.is_some() || is_digest || taken.iter().any(is_near);
    is_slip.then(|| format!("`{name}`: unknown; this form takes `{}`.", taken.join("` and `")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slip_of(name: &str, filename: Option<&str>, taken: &[&str]) -> Option<String> {
        let filename = filename.map(|name| name.as_bytes().to_vec());
        slip(&Part { name: name.as_bytes().to_vec(), filename, content_type: None }, taken)
    }

    #[test]
    fn what_its_sender_relies_on_is_not_passed_over() {
        let both = ["file", "md5"];
        for name in [
            "md6",
            "MD5",
            "md5sum",
            "m5",
            "mdd5",
            "content-md5",
            "sha256",
            "SHA-1",
            "digest",
            "files",
            "File",
        ] {
            let told = slip_of(name, None, &both).unwrap_or_else(|| panic!("{name} is passed over"));
            assert_eq!(told, format!("`{name}`: unknown; this form takes `file` and `md5`."));
        }
        for name in ["note", "submit", "_charset_", "comment", "filename", "", "é"] {
            assert_eq!(slip_of(name, None, &both), None, "{name}");
            assert!(slip_of(name, Some("a.txt"), &both).is_some(), "{name}");
        }
        assert!(slip_of("md5", None, &["file"]).is_some());
        assert!(slip_of(&"md5".repeat(5000), None, &both).unwrap().len() < 200);
    }
}
