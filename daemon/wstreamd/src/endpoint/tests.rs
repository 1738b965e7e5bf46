//! Sound as a string, a character for each frame: `v` voice, `.` none, `q` voice that is quiet, `n`
//! what may be voice but has no pitch.
//! Events as a string: `B3` begins with frame 3, `s2` two frames of sound, `P5` a pause after five
//! frames of the utterance, `R`, `E7` the end after seven.

use proptest::prelude::*;

use super::*;

fn settings() -> EndpointSettings {
    EndpointSettings {
        onset_ms: 60,
        pre_roll_ms: 90,
        hangover_ms: 150,
        tail_ms: 60,
        min_speech_ms: 90,
        max_utterance_s: 5,
    }
}

/// Frames whose samples say where they are from, so that any loss, repetition or change shows.
fn frame(number: usize, kind: char) -> [i16; FRAME] {
    let loud = if kind == 'q' { 100 } else { 10_000 };
    let mut frame = [0; FRAME];
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = loud + ((number * 31 + n) % 97) as i16;
    }
    frame
}

fn run(settings: &EndpointSettings, sound: &str, rest: usize) -> Vec<Action> {
    let mut endpointer = Endpointer::new(settings);
    let mut actions = Vec::new();
    for (number, kind) in sound.chars().enumerate() {
        let heard = match kind {
            '.' => Heard::Silence,
            'n' => Heard::Sound,
            _ => Heard::Pitch,
        };
        endpointer.push(&frame(number, kind), heard, &mut actions);
    }
    endpointer.finish(&vec![1; rest], &mut actions);
    assert!(!endpointer.is_open());
    actions
}

fn tell(actions: &[Action]) -> String {
    let frames = |samples: u64| samples / FRAME as u64;
    let told: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Begin { at } => format!("B{}", frames(*at)),
            Action::Sound(samples) => format!("s{}", frames(samples.len() as u64)),
            Action::Pause { sample } => format!("P{}", frames(*sample)),
            Action::Resume => "R".to_owned(),
            Action::End { samples } => format!("E{}", frames(*samples)),
        })
        .collect();
    told.join(" ")
}

#[track_caller]
fn check(sound: &str, wanted: &str) {
    assert_eq!(tell(&run(&settings(), sound, 0)), wanted, "for {sound}");
}

#[test]
fn silence_is_no_utterance() {
    check("", "");
    check("..........", "");
}

#[test]
fn pre_roll_comes_with_the_beginning() {
    check(".....vvvv", "B2 s6 s1 E7");
    // There is no sound from before the beginning.
    check(".vvvv", "B0 s4 s1 E5");
}

#[test]
fn short_noises_are_no_utterance() {
    check("....vv..........", "");
    // A click now and then does not add up.
    check("..v.....v.....v.....v.....v....", "");
    // Long enough in all, but never in a row.
    check("..v.v.v.v.v......", "");
}

#[test]
fn voice_with_a_gap_begins_with_its_first_frame() {
    check(".....vv..v..", "B2 s8 P8 s1 s1 E10");
}

#[test]
fn noise_without_a_pitch_is_no_utterance() {
    check("....nnnnnnnnnnnnnnnnnnnn....", "");
    // Typing: a few frames, and again, and again.
    check(&"nnnnvn......".repeat(10), "");
    // Consonants before the vowel are its own.
    check("....nnnnvvv", "B1 s10 E10");
    check("....nnnnnnnvvv....", "B1 s13 P13 s1 s1 E15");
    // A pitch here and there is none.
    check("....vnnnnvnnnnvnnnnvnnnn....", "");
    check("....nnnnnnnvvvv", "B1 s13 s1 E14");
    // Who whispers is heard all the same, a second later.
    let told = tell(&run(&settings(), &"n".repeat(40), 0));
    assert!(told.starts_with("B0 s33 s1"), "{told}");
}

#[test]
fn hangover_ends_and_tail_is_kept() {
    check("vvvv.....", "B0 s3 s1 P4 s1 s1 E6");
}

#[test]
fn a_pause_shorter_than_the_hangover_does_not_end() {
    check("vvvv....v", "B0 s3 s1 P4 s1 s1 R s3 E9");
    check("vvvv.v.v", "B0 s3 s1 P4 s1 R s1 P6 s1 R s1 E8");
}

#[test]
fn silence_held_back_becomes_the_next_pre_roll() {
    // Frames 6, 7 and 8 are in no utterance when the first ends, and none is in both.
    check("vvvv.....vvv", "B0 s3 s1 P4 s1 s1 E6 B6 s6 E6");
}

#[test]
fn the_end_of_the_sound_ends_an_utterance() {
    check("vvvv", "B0 s3 s1 E4");
    check("vvvv..", "B0 s3 s1 P4 s1 s1 E6");
    // A short word cut off by the end was long enough in a row.
    check("..vv", "B0 s4 E4");
    check("...v", "");
}

#[test]
fn less_than_a_frame_at_the_end_is_kept() {
    let actions = run(&settings(), "vvvv", 100);
    assert_eq!(
        actions.last(),
        Some(&Action::End {
            samples: 4 * 480 + 100
        })
    );
}

#[test]
fn patience_shrinks_with_length() {
    // 166 frames are the longest; from 0.54 of it on five frames suffice (as the hangover here),
    // from 0.82 on two.
    let settings = EndpointSettings {
        hangover_ms: 300,
        ..settings()
    };
    let told = |sound: &str| tell(&run(&settings, sound, 0));
    let pause = |voice: usize, silence: usize| {
        told(&("v".repeat(voice) + &".".repeat(silence) + "vvvvvvvv"))
    };
    assert_eq!(pause(50, 9).matches('B').count(), 1);
    assert_eq!(pause(50, 10).matches('B').count(), 2);
    assert_eq!(pause(95, 4).matches('B').count(), 1);
    assert_eq!(pause(95, 5).matches('B').count(), 2);
    assert_eq!(pause(138, 1).matches('B').count(), 1);
    assert_eq!(pause(138, 2).matches('B').count(), 2);
    assert_eq!(pause(155, 1).matches('B').count(), 2);
}

#[test]
fn what_is_answered_makes_no_utterance_long() {
    // 166 frames are the longest. The server cuts all but the last 20 of every 100.
    let settings = EndpointSettings {
        hangover_ms: 300,
        ..settings()
    };
    let mut endpointer = Endpointer::new(&settings);
    let mut actions = Vec::new();
    for number in 0..1000 {
        if number % 100 == 0 && number > 0 {
            endpointer.answered((number - 20) * FRAME as u64);
        }
        let heard = match number % 10 {
            9 => Heard::Silence,
            _ => Heard::Pitch,
        };
        endpointer.push(&frame(number as usize, 'v'), heard, &mut actions);
    }
    assert!(endpointer.is_open());
    assert_eq!(tell(&actions).matches('B').count(), 1);
    // And from there on it counts: 80 frames from the cut, then a pause of five frames is enough
    // (0.54 of the longest).
    endpointer.answered(900 * FRAME as u64);
    for number in 1000..1005 {
        endpointer.push(&frame(number, 'v'), Heard::Silence, &mut actions);
    }
    assert!(!endpointer.is_open());
    // What is answered of none, and of more than there is, does no harm.
    endpointer.answered(7);
    for number in 1005..1300 {
        endpointer.push(&frame(number, 'v'), Heard::Pitch, &mut actions);
        endpointer.answered(u64::MAX);
    }
    assert!(endpointer.is_open());
    endpointer.finish(&[], &mut actions);
    assert!(!endpointer.is_open());
}

#[test]
fn one_word_after_an_early_end_is_not_lost() {
    let sound = "v".repeat(140) + "..v" + &".".repeat(20);
    let settings = EndpointSettings {
        hangover_ms: 300,
        ..settings()
    };
    let told = tell(&run(&settings, &sound, 0));
    assert!(told.ends_with("E142 B142 s1 P1 s1 s1 E3"), "{told}");
}

#[test]
fn an_urgent_utterance_ends_where_the_voice_is_weak() {
    let sound = "v".repeat(155) + "q" + &"v".repeat(20);
    let told = tell(&run(&settings(), &sound, 0));
    assert!(told.contains("s1 E156 B156 s1 s1"), "{told}");
}

#[test]
fn endless_voice_is_cut_without_a_gap() {
    let actions = run(&settings(), &"v".repeat(500), 0);
    let told = tell(&actions);
    assert!(told.contains("E166 B166 s1"), "{told}");
    assert_eq!(told.matches('E').count(), 4, "{told}");
}

#[test]
fn forgetting_drops_what_was_held() {
    let mut endpointer = Endpointer::new(&settings());
    let mut actions = Vec::new();
    for number in 0..10 {
        endpointer.push(&frame(number, 'v'), Heard::Pitch, &mut actions);
    }
    assert!(endpointer.is_open());
    endpointer.forget();
    actions.clear();
    for number in 10..14 {
        endpointer.push(&frame(number, 'v'), Heard::Pitch, &mut actions);
    }
    assert_eq!(tell(&actions), "B10 s3 s1");
}

#[test]
fn defaults_are_within_their_ranges() {
    let settings = EndpointSettings::default();
    assert!(EndpointSettings::ONSET_MS.contains(&settings.onset_ms));
    assert!(EndpointSettings::PRE_ROLL_MS.contains(&settings.pre_roll_ms));
    assert!(EndpointSettings::HANGOVER_MS.contains(&settings.hangover_ms));
    assert!(EndpointSettings::TAIL_MS.contains(&settings.tail_ms));
    assert!(EndpointSettings::MIN_SPEECH_MS.contains(&settings.min_speech_ms));
    assert!(EndpointSettings::MAX_UTTERANCE_S.contains(&settings.max_utterance_s));
}

/// Speech-like sound: runs of voice and silence, some long enough to reach every bound.
fn sounds() -> impl Strategy<Value = String> {
    let kind = prop_oneof![4 => Just('v'), 4 => Just('.'), 1 => Just('q'), 1 => Just('n')];
    let run = (kind, prop_oneof![4 => 1..20usize, 1 => 100..300usize]);
    prop::collection::vec(run, 0..20).prop_map(|runs| {
        runs.into_iter()
            .map(|(kind, length)| kind.to_string().repeat(length))
            .collect()
    })
}

fn any_settings() -> impl Strategy<Value = EndpointSettings> {
    (
        EndpointSettings::ONSET_MS,
        EndpointSettings::PRE_ROLL_MS,
        EndpointSettings::HANGOVER_MS,
        EndpointSettings::TAIL_MS,
        EndpointSettings::MIN_SPEECH_MS,
        5..=6u32,
    )
        .prop_map(
            |(onset_ms, pre_roll_ms, hangover_ms, tail_ms, min_speech_ms, max_utterance_s)| {
                EndpointSettings {
                    onset_ms,
                    pre_roll_ms,
                    hangover_ms,
                    tail_ms,
                    min_speech_ms,
                    max_utterance_s,
                }
            },
        )
}

proptest! {
    #[test]
    fn whatever_comes(settings in any_settings(), sound in sounds(), rest in 0..FRAME) {
        let mut whole: Vec<i16> = sound
            .chars()
            .enumerate()
            .flat_map(|(number, kind)| frame(number, kind))
            .collect();
        whole.resize(whole.len() + rest, 1);

        let mut open: Option<(usize, Vec<i16>, bool)> = None;
        let mut free_from = 0;
        for action in run(&settings, &sound, rest) {
            match action {
                Action::Begin { at } => {
                    prop_assert!(open.is_none(), "two at once");
                    prop_assert!(at as usize >= free_from, "a sample in two utterances");
                    open = Some((at as usize, Vec::new(), false));
                }
                Action::Sound(samples) => {
                    let (at, heard, _) = open.as_mut().expect("sound within an utterance");
                    if heard.is_empty() {
                        // The pre-roll is bounded: so many frames before the first voice.
                        let quiet = sound.as_bytes()[*at / FRAME..]
                            .iter()
                            .take_while(|&&kind| kind == b'.')
                            .count();
                        prop_assert!(quiet * FRAME <= settings.pre_roll_ms as usize * 16);
                    }
                    heard.extend_from_slice(&samples);
                    prop_assert_eq!(
                        heard.as_slice(),
                        &whole[*at..*at + heard.len()],
                        "a sample lost, doubled or changed"
                    );
                }
                Action::Pause { sample } => {
                    let (_, heard, paused) = open.as_mut().expect("a pause within an utterance");
                    prop_assert!(!*paused, "two pauses without a resume");
                    prop_assert_eq!(sample as usize, heard.len());
                    *paused = true;
                }
                Action::Resume => {
                    let (_, _, paused) = open.as_mut().expect("a resume within an utterance");
                    prop_assert!(*paused, "a resume without a pause");
                    *paused = false;
                }
                Action::End { samples } => {
                    let (at, heard, _) = open.take().expect("the end of an utterance");
                    prop_assert_eq!(samples as usize, heard.len());
                    prop_assert!(!heard.is_empty());
                    prop_assert!(heard.len() <= settings.max_utterance_s as usize * 16_000);
                    free_from = at + heard.len();
                }
            }
        }
        prop_assert!(open.is_none(), "an utterance never ended");
    }

    /// With the least of onset and minimum, every frame of a syllable is in an utterance.
    #[test]
    fn no_voice_is_left_out(sound in sounds()) {
        let settings = EndpointSettings {
            onset_ms: 30,
            min_speech_ms: 30,
            pre_roll_ms: 0,
            ..settings()
        };
        let mut inside = vec![false; sound.len()];
        let mut at_frame = 0;
        for action in run(&settings, &sound, 0) {
            match action {
                Action::Begin { at } => at_frame = at as usize / FRAME,
                Action::Sound(samples) => {
                    let frames = samples.len() / FRAME;
                    inside[at_frame..at_frame + frames].fill(true);
                    at_frame += frames;
                }
                _ => {}
            }
        }
        for (number, kind) in sound.chars().enumerate() {
            let around = &sound[number.saturating_sub(2)..sound.len().min(number + 3)];
            let syllable = around.len() == 5 && around.chars().all(|kind| kind == 'v');
            prop_assert!(inside[number] || !syllable, "frame {number} ({kind}) of {sound}");
        }
    }
}
