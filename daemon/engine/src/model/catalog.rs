//! The models that can be fetched: the official ggml ones that have a published checksum.
//!
//! Names and checksums are those of the table in the model card of the hub's `ggerganov/whisper.cpp`,
//! of which whisper.cpp's own `models/README.md` shows a part. A variant without a checksum there is
//! not offered. Sizes are not published to the byte; they follow from the models' dimensions, which
//! a test computes.

use super::quantize::Format;

/// A model that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `base.en-q8_0`.
    pub name: &'static str,
    /// The file's size, to tell whether it fits before it is fetched.
    pub bytes: u64,
    /// SHA-1 of the file, in hexadecimal.
    pub sha1: &'static str,
}

/// Every model, small ones first.
pub const CATALOG: &[Entry] = &[
    entry(
        "tiny.en",
        77_704_715,
        "c78c86eb1a8faa21b369bcd33207cc90d64ae9df",
    ),
    entry(
        "tiny.en-q5_1",
        32_166_155,
        "3fb92ec865cbbc769f08137f22470d6b66e071b6",
    ),
    entry(
        "tiny.en-q8_0",
        43_550_795,
        "802d6668e7d411123e672abe4cb6c18f12306abb",
    ),
    entry(
        "tiny",
        77_691_713,
        "bd577a113a864445d4c299885e0cb97d4ba92b5f",
    ),
    entry(
        "tiny-q5_1",
        32_152_673,
        "2827a03e495b1ed3048ef28a6a4620537db4ee51",
    ),
    entry(
        "tiny-q8_0",
        43_537_433,
        "19e8118f6652a650569f5a949d962154e01571d9",
    ),
    entry(
        "base.en",
        147_964_211,
        "137c40403d78fd54d454da0f9bd998f78703390c",
    ),
    entry(
        "base.en-q5_1",
        59_721_011,
        "d26d7ce5a1b6e57bea5d0431b9c20ae49423c94a",
    ),
    entry(
        "base.en-q8_0",
        81_781_811,
        "bb1574182e9b924452bf0cd1510ac034d323e948",
    ),
    entry(
        "base",
        147_951_465,
        "465707469ff3a37a2b9b8d8f89f2f99de7299dac",
    ),
    entry(
        "base-q5_1",
        59_707_625,
        "a3733eda680ef76256db5fc5dd9de8629e62c5e7",
    ),
    entry(
        "base-q8_0",
        81_768_585,
        "7bb89bb49ed6955013b166f1b6a6c04584a20fbe",
    ),
    entry(
        "small.en",
        487_614_201,
        "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022",
    ),
    entry(
        "small.en-q5_1",
        190_098_681,
        "20f54878d608f94e4a8ee3ae56016571d47cba34",
    ),
    entry(
        "small.en-q8_0",
        264_477_561,
        "9d75ff4ccfa0a8217870d7405cf8cef0a5579852",
    ),
    entry(
        "small",
        487_601_967,
        "55356645c2b361a969dfd0ef2c5a50d530afd8d5",
    ),
    entry(
        "small-q5_1",
        190_085_487,
        "6fe57ddcfdd1c6b07cdcc73aaf620810ce5fc771",
    ),
    entry(
        "small-q8_0",
        264_464_607,
        "bcad8a2083f4e53d648d586b7dbc0cd673d8afad",
    ),
    entry(
        "medium.en",
        1_533_774_781,
        "8c30f0e44ce9560643ebd10bbe50cd20eafd3723",
    ),
    entry(
        "medium.en-q5_0",
        539_225_533,
        "bb3b5281bddd61605d6fc76bc5b92d8f20284c3b",
    ),
    entry(
        "medium.en-q8_0",
        823_382_461,
        "b1cf48c12c807e14881f634fb7b6c6ca867f6b38",
    ),
    entry(
        "medium",
        1_533_763_059,
        "fd9727b6e1217c2f614f9b698455c4ffd82463b4",
    ),
    entry(
        "medium-q5_0",
        539_212_467,
        "7718d4c1ec62ca96998f058114db98236937490e",
    ),
    entry(
        "medium-q8_0",
        823_369_779,
        "e66645948aff4bebbec71b3485c576f3d63af5d6",
    ),
    entry(
        "large-v3-turbo",
        1_624_555_275,
        "4af2b29d7ec73d781377bfd1758ca957a807e941",
    ),
    entry(
        "large-v3-turbo-q5_0",
        574_041_195,
        "e050f7970618a659205450ad97eb95a18d69c9ee",
    ),
    entry(
        "large-v3-turbo-q8_0",
        874_188_075,
        "01bf15bedffe9f39d65c1b6ff9b687ea91f59e0e",
    ),
    entry(
        "large-v3",
        3_095_033_483,
        "ad82bf6a9043ceed055076d0fd39f5f186ff8062",
    ),
    entry(
        "large-v3-q5_0",
        1_081_140_203,
        "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de",
    ),
];

const fn entry(name: &'static str, bytes: u64, sha1: &'static str) -> Entry {
    Entry { name, bytes, sha1 }
}

/// The model called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// How its big tensors are stored.
    pub fn format(&self) -> Format {
        Format::ALL
            .into_iter()
            .find(|format| self.name.ends_with(&format!("-{format}")))
            .unwrap_or(Format::F16)
    }

    /// Whether it knows other languages than English.
    pub fn is_multilingual(&self) -> bool {
        !self.name.contains(".en")
    }

    /// Its address below `hub`, the hub's or a mirror's.
    pub fn url(&self, hub: &str) -> String {
        let hub = hub.trim_end_matches('/');
        let name = self.name;
        format!("{hub}/ggerganov/whisper.cpp/resolve/main/ggml-{name}.bin")
    }
}

#[cfg(test)]
mod tests {
    use super::super::ggml::size;
    use super::super::layout::tests::published;
    use super::*;

    /// Bytes of all tokens in the two vocabularies; each token has its length in front.
    const ENGLISH_WORDS: u64 = 320_827;
    const MULTILINGUAL_WORDS: u64 = 307_057;

    #[test]
    fn sizes_follow_from_the_dimensions() {
        for entry in CATALOG {
            let dimensions = published(entry.name);
            let words = match entry.is_multilingual() {
                true => MULTILINGUAL_WORDS,
                false => ENGLISH_WORDS,
            };
            let computed = size(&dimensions, &[], entry.format()) + 4 * 50_257 + words;
            assert_eq!(computed, entry.bytes, "{}", entry.name);
        }
    }

    #[test]
    fn names_and_checksums_are_well_formed_and_unique() {
        let mut sha1s = std::collections::HashSet::new();
        for entry in CATALOG {
            assert!(wstream_wire::files::is_model_name(entry.name));
            assert_eq!(find(entry.name), Some(entry));
            let hexadecimal = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
            assert!(entry.sha1.len() == 40 && entry.sha1.chars().all(hexadecimal));
            assert!(sha1s.insert(entry.sha1), "{}: a checksum twice", entry.name);
        }
        assert_eq!(find("base-q4_0"), None, "no published checksum");
    }

    #[test]
    fn what_a_name_says() {
        for (name, format, multilingual) in [
            ("tiny.en", Format::F16, false),
            ("base-q8_0", Format::Q8_0, true),
            ("medium.en-q5_0", Format::Q5_0, false),
            ("large-v3-turbo", Format::F16, true),
        ] {
            let entry = find(name).unwrap();
            assert_eq!(
                (entry.format(), entry.is_multilingual()),
                (format, multilingual)
            );
        }
        assert_eq!(
            find("tiny").unwrap().url("http://mirror:80/"),
            "http://mirror:80/ggerganov/whisper.cpp/resolve/main/ggml-tiny.bin"
        );
    }
}
