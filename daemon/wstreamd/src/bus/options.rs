//! Options of `Start`, `Toggle` and `Feed`: dictionaries in, checked values out. An unknown key or
//! a wrong type is refused, so that a misspelt option is never silently without effect.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use wstream_api::keys;
use wstream_typing::Session;
use zbus::OwnedVariant;

use crate::capture::FeedFormat;
use crate::config::{BadList, check_languages, check_vocabulary};
use crate::daemon::FeedRequest;
use crate::fault::{Fault, FaultKind};
use crate::source::{CHANNELS, RATES};
use crate::speech::SessionOptions;

pub(super) type Options = HashMap<String, OwnedVariant>;

pub(super) fn session(mut options: Options) -> Result<SessionOptions, Fault> {
    let session = take_session(&mut options)?;
    refuse_rest(&options)?;
    Ok(session)
}

pub(super) fn feed(
    mut options: Options,
    sound: OwnedFd,
    caller: String,
) -> Result<FeedRequest, Fault> {
    let session = take_session(&mut options)?;
    let format = take::<String>(&mut options, keys::FORMAT, "a string")?;
    let rate = take::<u32>(&mut options, keys::RATE, "an unsigned 32-bit number")?;
    let channels = take::<u32>(&mut options, keys::CHANNELS, "an unsigned 32-bit number")?;
    let realtime = take::<bool>(&mut options, keys::REALTIME, "a boolean")?;
    refuse_rest(&options)?;
    Ok(FeedRequest {
        sound,
        format: feed_format(format.as_deref(), rate, channels)?,
        realtime: realtime.unwrap_or_default(),
        options: session,
        caller,
    })
}

fn feed_format(
    format: Option<&str>,
    rate: Option<u32>,
    channels: Option<u32>,
) -> Result<FeedFormat, Fault> {
    let raw = || {
        let rate =
            rate.ok_or_else(|| bad("raw sound needs the option `rate`: samples per second"))?;
        if !RATES.contains(&rate) {
            return Err(bad("`rate` is out of range: use 4000 to 384000"));
        }
        let channels = channels.unwrap_or(1);
        match u16::try_from(channels) {
            Ok(channels) if CHANNELS.contains(&channels) => Ok((rate, channels)),
            _ => Err(bad(format!(
                "`channels` is out of range: use 1 to {}",
                CHANNELS.end()
            ))),
        }
    };
    match format.unwrap_or("auto") {
        "auto" if rate.is_some() || channels.is_some() => Err(bad(
            "`rate` and `channels` are for raw sound: give `format` as s16le or f32le too",
        )),
        "auto" => Ok(FeedFormat::Auto),
        "s16le" => raw().map(|(rate, channels)| FeedFormat::S16le { rate, channels }),
        "f32le" => raw().map(|(rate, channels)| FeedFormat::F32le { rate, channels }),
        other => Err(bad(format!(
            "unknown format {other:?}: use auto, s16le or f32le"
        ))),
    }
}

fn take_session(options: &mut Options) -> Result<SessionOptions, Fault> {
    let strategy = take::<String>(options, keys::STRATEGY, "a string")?
        .map(|name| name.parse::<wstream_wire::Strategy>())
        .transpose()
        .map_err(|error| bad(error.to_string()))?;
    let backend = take::<String>(options, keys::BACKEND, "a string")?;
    let language = take::<String>(options, keys::LANGUAGE, "a string")?;
    if let Some(language) = &language {
        crate::daemon::check_language(language)?;
    }
    Ok(SessionOptions {
        strategy,
        backend,
        language,
        languages: take_list(options, keys::LANGUAGES, check_languages)?,
        vocabulary: take_list(options, keys::VOCABULARY, check_vocabulary)?,
        typing: take::<String>(options, keys::TYPING, "a string")?
            .map(|name| name.parse())
            .transpose()?,
        desktop: take_desktop(options)?,
        is_forgotten: take::<bool>(options, keys::RECENT, "a boolean")? == Some(false),
    })
}

/// The variables that say where the caller's desktop is; others are not looked at.
fn take_desktop(options: &mut Options) -> Result<Option<Session>, Fault> {
    let expected = "a dictionary of strings";
    let variables = take::<HashMap<String, String>>(options, keys::DESKTOP, expected)?;
    Ok(variables.map(|variables| {
        let variables = variables.into_iter();
        Session::of(variables.map(|(name, value)| (name, value.into())))
    }))
}

fn take_list(
    options: &mut Options,
    key: &str,
    check: fn(&[String]) -> Result<(), BadList>,
) -> Result<Option<Arc<[String]>>, Fault> {
    let Some(list) = take::<Vec<String>>(options, key, "a list of strings")? else {
        return Ok(None);
    };
    check(&list).map_err(|it| bad(format!("{} = {}: {}", it.key, it.value, it.problem)))?;
    Ok(Some(list.into()))
}

fn take<T: TryFrom<OwnedVariant>>(
    options: &mut Options,
    key: &str,
    expected: &str,
) -> Result<Option<T>, Fault> {
    options
        .remove(key)
        .map(|value| {
            T::try_from(value).map_err(|_| bad(format!("the option `{key}` must be {expected}")))
        })
        .transpose()
}

fn refuse_rest(options: &Options) -> Result<(), Fault> {
    match options.keys().min() {
        None => Ok(()),
        Some(key) => Err(bad(format!(
            "unknown option {key:?}: see the documentation of the method (busctl --user introspect --xml-interface)"
        ))),
    }
}

fn bad(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::BadOption, message)
}
