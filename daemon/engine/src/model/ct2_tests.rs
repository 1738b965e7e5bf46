use std::io::Cursor;

use half::{bf16, f16};
use proptest::prelude::*;

use super::super::fixtures::{self, Variable as Written, ct2_file, ct2_variables};
use super::super::ggml::write;
use super::super::quantize::Encoding;
use super::*;

fn index(bytes: &[u8]) -> Result<Index, Ct2Error> {
    Index::read(&mut Input::new(Cursor::new(bytes), bytes.len() as u64))
}

fn read(bytes: Vec<u8>) -> Result<Checkpoint, Ct2Error> {
    let index = index(&bytes)?;
    let source: Arc<dyn ReadAt> = Arc::new(bytes);
    let words = fixtures::checkpoint().words;
    index.checkpoint(&source, words)
}

fn ggml(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut out = Vec::new();
    write(checkpoint, Encoding::F16, &mut out).unwrap();
    out
}

#[test]
fn a_model_converts_to_the_same_file_as_its_numbers() {
    let checkpoint = read(ct2_file(&ct2_variables())).unwrap();
    assert_eq!(checkpoint.dimensions, fixtures::MINI);
    assert!(ggml(&checkpoint) == ggml(&fixtures::checkpoint()));
}

#[test]
fn other_float_types_convert_to_the_same_file() {
    let expected = ggml(&fixtures::checkpoint());
    for kind in [0, 5] {
        let mut variables = ct2_variables();
        for variable in variables.iter_mut().filter(|variable| variable.kind == 4) {
            variable.kind = kind;
            let numbers = variable.data.as_chunks::<2>().0.iter();
            let numbers = numbers.map(|&bytes| f16::from_le_bytes(bytes).to_f32());
            // The fixture's numbers have 8 bits, which bfloat16 holds.
            variable.data = match kind {
                0 => numbers.flat_map(f32::to_le_bytes).collect(),
                _ => numbers
                    .flat_map(|n| bf16::from_f32(n).to_le_bytes())
                    .collect(),
            };
        }
        assert!(
            ggml(&read(ct2_file(&variables)).unwrap()) == expected,
            "type {kind}"
        );
    }
}

#[test]
fn eight_bit_weights_come_back_with_their_rows_scales() {
    let mut variables = ct2_variables();
    let name = "decoder/layer_1/attention/linear_1/weight";
    let weight = variables.iter_mut().find(|v| v.name == name).unwrap();
    // The fixture's numbers are n / 256 for n from -128 to 127.
    let numbers = weight.data.as_chunks::<2>().0.iter();
    weight.data = numbers
        .map(|&bytes| (f16::from_le_bytes(bytes).to_f32() * 256.0) as i8 as u8)
        .collect();
    weight.kind = 1;
    variables.push(Written {
        name: format!("{name}_scale"),
        dims: vec![64],
        kind: 0,
        data: [256.0_f32; 64]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect(),
    });
    let checkpoint = read(ct2_file(&variables)).unwrap();
    assert!(ggml(&checkpoint) == ggml(&fixtures::checkpoint()));

    variables.pop();
    let error = read(ct2_file(&variables)).unwrap_err().to_string();
    assert!(
        error.contains("linear_1/weight_scale is missing"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let good = ct2_variables();
    let changed = |name: &str, change: fn(&mut Written)| {
        let mut variables = good.clone();
        change(variables.iter_mut().find(|v| v.name == name).unwrap());
        ct2_file(&variables)
    };
    let without = |name: &str| {
        let rest: Vec<Written> = good.iter().filter(|v| v.name != name).cloned().collect();
        ct2_file(&rest)
    };
    let good = ct2_file(&ct2_variables());
    let mut version = good.clone();
    version[0] = 5;
    let mut spec = good.clone();
    spec[6..17].copy_from_slice(b"Transformer");
    let trailing = [good.as_slice(), b"!"].concat();
    let huge_count = {
        let mut file = good[..18].to_vec();
        file.extend([3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        file
    };
    for (what, file, expected) in [
        ("nothing", Vec::new(), "damaged or no CTranslate2 model"),
        (
            "text",
            b"This is not a model.".to_vec(),
            "version 1936287828",
        ),
        ("half of it", good[..good.len() / 2].to_vec(), "damaged"),
        ("an old version", version, "version 5"),
        ("another model", spec, "a Transformer and no WhisperSpec"),
        ("more behind it", trailing, "1 bytes behind its end"),
        ("a count of 4 thousand million", huge_count, "damaged"),
        (
            "no key",
            without("decoder/layer_1/attention/linear_1/weight"),
            "linear_1/weight is missing",
        ),
        (
            "no heads",
            without("encoder/num_heads"),
            "encoder/num_heads is missing",
        ),
        (
            "another shape",
            changed("encoder/conv1/weight", |v| v.dims.swap(0, 2)),
            "encoder/conv1/weight is 3 × 80 × 32 and not 32 × 80 × 3",
        ),
        (
            "other sizes",
            changed("encoder/num_heads", |v| v.data = vec![5, 0]),
            "number of encoder heads of 5",
        ),
        (
            "a size that is not its shape's",
            changed("decoder/layer_norm/beta", |v| v.dims[0] = 31),
            "decoder/layer_norm/beta has 64 bytes",
        ),
        (
            "a shape that overflows",
            changed("decoder/layer_norm/beta", |v| v.dims = vec![u32::MAX; 8]),
            "decoder/layer_norm/beta has 64 bytes",
        ),
        (
            "an unknown type",
            changed("decoder/layer_norm/beta", |v| v.kind = 99),
            "decoder/layer_norm/beta has 64 bytes",
        ),
        (
            "16-bit integers",
            changed("decoder/layer_norm/beta", |v| v.kind = 2),
            "16-bit integers",
        ),
    ] {
        let error = super::super::chain(&read(file).expect_err(what));
        assert!(error.contains(expected), "{what}: {error}");
    }
}

fn variables() -> impl Strategy<Value = Vec<Written>> {
    let variable = (
        "[a-z/_0-9]{1,20}",
        prop::collection::vec(0_u32..5, 0..4),
        0_u8..6,
    );
    prop::collection::vec(variable, 0..8).prop_map(|variables| {
        let mut written: Vec<Written> = Vec::new();
        for (index, (name, dims, kind)) in variables.into_iter().enumerate() {
            let values: u32 = dims.iter().product();
            let bytes = u64::from(values) * TYPE_BYTES[usize::from(kind)];
            let data = vec![index as u8; bytes as usize];
            let name = format!("{name}/{index}");
            written.push(Written {
                name,
                dims,
                kind,
                data,
            });
        }
        written
    })
}

proptest! {
    #[test]
    fn every_variable_is_found_where_it_was_written(variables in variables()) {
        let file = ct2_file(&variables);
        let index = index(&file).unwrap();
        prop_assert_eq!(index.0.len(), variables.len());
        for written in variables {
            let found = &index.0[&written.name];
            let dims: Vec<u32> = found.dims.iter().map(|&dim| dim as u32).collect();
            prop_assert_eq!(dims, written.dims);
            let from = found.offset as usize;
            prop_assert_eq!(&file[from..from + found.bytes as usize], &written.data);
        }
    }

    #[test]
    fn no_file_that_is_cut_off_is_taken(variables in variables(), cut in any::<prop::sample::Index>()) {
        let file = ct2_file(&variables);
        prop_assert!(index(&file[..cut.index(file.len())]).is_err());
    }

    #[test]
    fn a_variable_never_lies_outside_a_damaged_file(
        variables in variables(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = ct2_file(&variables);
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Ok(index) = index(&file) {
            for variable in index.0.values() {
                prop_assert!(variable.offset + u64::from(variable.bytes) <= file.len() as u64);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        // With the right beginning, too, so that more than the version is reached.
        let _ = index(&bytes);
        let mut file = ct2_file(&[]);
        file.truncate(22);
        file.extend(bytes);
        let _ = index(&file);
    }
}
