mod desk;
use anyhow::Result;
use desk::{Desk, Kind, Window, corpus};
use wstream_typing::x11::X11;
use wstream_typing::{Driver as _, Key};

#[test]
fn undo() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else { return Ok(()); };
    for kind in [Kind::Gtk4, Kind::Qt5, Kind::XtermLine] {
        let mut window = Window::open(&desk, kind)?;
        let mut driver = X11::open(&desk.session())?;
        for (name, text) in corpus()? {
                driver.type_text("keep é")?;
                driver.type_text(&text)?;
                if kind != Kind::XtermLine { let _ = window.holds(&format!("keep é{text}"))?; }
                let r = driver.erase(&text);
                let want = if kind == Kind::XtermLine { driver.press(Key::Return, 1)?; "keep é\n" } else { "keep é" };
                let held = window.holds(want)?;
                println!("UNDO {} {name} {r:?} {held:?}", kind.name());
                window.clear(&desk)?;
        }
    }
    Ok(())
}
