//! What stands above the charts: the phases, what was found in them, and how each window was judged.

use std::fmt::Write;

use super::charts::Canvas;
use super::markup::Text;
use crate::results::{Phase, Window};
use crate::units::{show_seconds, show_setting};

/// The three lanes.
pub(super) fn timeline(canvas: &Canvas<'_>) -> String {
    format!(r#"<div class="timeline">{}{}{}</div>"#, phases(canvas), found(canvas), judgement(canvas))
}

/// From, to and the common property of neighbouring windows.
fn stretches<T: PartialEq>(windows: &[Window], of: impl Fn(&Window) -> T) -> Vec<(f64, f64, T)> {
    let mut all: Vec<(f64, f64, T)> = Vec::new();
    for window in windows {
        let (end, property) = (window.start_s + window.width_s, of(window));
        match all.last_mut() {
            Some(last) if last.2 == property => last.1 = end,
            _ => all.push((window.start_s, end, property)),
        }
    }
    all
}

fn phases(canvas: &Canvas<'_>) -> String {
    let mut lane = String::from(r#"<div class="lane phases">"#);
    for (from, to, phase) in stretches(&canvas.run.windows, |w| w.phase) {
        let (left, right) = (canvas.time.percent(from), canvas.time.percent(to));
        let name = match phase {
            Phase::Warmup => "warm-up",
            Phase::Steady => "steady",
            Phase::Fault => "fault",
            Phase::Recovery => "watch",
        };
        let length = show_setting(to - from);
        let _ = write!(
            lane,
            r#"<span class="phase {}" style="left:{left:.3}%;width:{:.3}%" title="{name}, {length}">{name} <small>{length}</small></span>"#,
            phase.name(),
            right - left,
        );
    }
    lane + "</div>"
}

/// Onset, the time to recover with its interval, and what it is called.
fn found(canvas: &Canvas<'_>) -> String {
    let (recovery, edges, time) = (&canvas.run.recovery, &canvas.run.edges, canvas.time);
    let mut lane = String::new();
    if let (Some(onset), Some(tti)) = (recovery.onset_at_s, recovery.tti_s) {
        let x = time.percent(onset);
        moment(&mut lane, "onset", x, &format!("onset +{}", show_seconds(Some(tti))), x > 22.0);
    }
    let off = time.percent(edges.t_off);
    if let (Some(ttr), Some(back)) = (recovery.ttr_s, recovery.recovered_at_s) {
        let x = time.percent(back);
        let _ =
            write!(lane, r#"<rect class="span" x="{off:.3}%" y="24" width="{:.3}%" height="6"/>"#, (x - off).max(0.0));
        if let Some((low, high)) = recovery.ttr_interval_s {
            let (low, high) = (time.percent(edges.t_off + low), time.percent(edges.t_off + high));
            let _ = write!(
                lane,
                r#"<line class="whisker" x1="{low:.3}%" x2="{high:.3}%" y1="27" y2="27"/><line class="whisker" x1="{low:.3}%" x2="{low:.3}%" y1="21" y2="33"/><line class="whisker" x1="{high:.3}%" x2="{high:.3}%" y1="21" y2="33"/>"#
            );
        }
        moment(&mut lane, "back", x, &format!("recovered +{}", show_seconds(Some(ttr))), x > 70.0);
    } else if let Some(at) = recovery.censored_at_s {
        let end = time.percent(edges.t_off + at);
        let _ = write!(
            lane,
            r#"<rect class="span open" x="{off:.3}%" y="24" width="{:.3}%" height="6"/><text class="back" x="{end:.3}%" dx="-4" y="15" text-anchor="end">not recovered &gt; {}</text>"#,
            (end - off).max(0.0),
            show_setting(at)
        );
    }
    if lane.is_empty() {
        return lane;
    }
    format!(r#"<svg class="lane found" width="100%" height="36" aria-hidden="true">{lane}</svg>"#)
}

/// A moment with its name on the side that has room.
fn moment(lane: &mut String, class: &str, x: f64, name: &str, to_the_left: bool) {
    let (anchor, dx) = if to_the_left { ("end", -5) } else { ("start", 5) };
    let _ = write!(
        lane,
        r#"<line class="moment {class}" x1="{x:.3}%" x2="{x:.3}%" y1="4" y2="36"/><text class="{class}" x="{x:.3}%" dx="{dx}" y="15" text-anchor="{anchor}">{}</text>"#,
        Text(name)
    );
}

/// One cell per stretch of windows with the same judgement.
fn judgement(canvas: &Canvas<'_>) -> String {
    let of = |w: &Window| match (w.valid, w.bad) {
        (false, _) => "invalid",
        (true, Some(true)) => "bad",
        (true, Some(false)) => "fine",
        (true, None) => "unjudged",
    };
    let mut cells = String::new();
    let all = stretches(&canvas.run.windows, of);
    for (from, to, class) in &all {
        let (x, end) = (canvas.time.percent(*from), canvas.time.percent(*to));
        let (y, height) = if *class == "fine" || *class == "unjudged" { (8, 2) } else { (0, 10) };
        let _ =
            write!(cells, r#"<rect class="{class}" x="{x:.3}%" y="{y}" width="{:.3}%" height="{height}"/>"#, end - x);
    }
    let count = |name: &str| canvas.run.windows.iter().filter(|w| of(w) == name).count();
    let words = [("fine", "good"), ("bad", "bad"), ("invalid", "invalid"), ("unjudged", "not judged")];
    let keys: String = words
        .iter()
        .filter(|(class, _)| count(class) > 0)
        .map(|(class, name)| format!(r#"<span class="key {class}"><i></i>{} {name}</span>"#, count(class)))
        .collect();
    format!(
        r#"<svg class="lane judgement" width="100%" height="10" aria-hidden="true">{cells}</svg><p class="lane-keys"><b>Windows</b> of {} <span class="keys">{keys}</span></p>"#,
        show_setting(canvas.plan.window_s)
    )
}
