//! The scaling curve as an SVG: users against tokens per second and time to first token; ours, llama.cpp's roof, the peer.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::Options;

/// One panel's size and its frame, in SVG units.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 34.0;

/// A line of a panel: name, colour, points (users, value).
type Line<'a> = (&'a str, &'a str, Vec<(f64, f64)>);

const OURS: &str = "#0072b2";
const ROOF: &str = "#888888";
const PEER: &str = "#d55e00";

/// Draws what the results file holds into an SVG beside it.
pub fn run(options: &Options) -> Result<Map<String, Value>, Box<dyn std::error::Error>> {
    let path = options.json.as_ref().ok_or("plot needs --json FILE, the results to draw")?;
    let results: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let by_users = |section: &str, value: &str| {
        let mut points: Vec<(f64, f64)> = results[section]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(users, values)| Some((users.parse().ok()?, values[value].as_f64()?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let speed = [
        ("ai-friend", OURS, by_users("peer_by_users", "tokens_per_second")),
        ("llama-server", PEER, by_users("peer_by_users", "peer_tokens_per_second")),
        ("roof (decoding alone)", ROOF, by_users("roof_by_users", "roof")),
    ];
    let wait = [
        ("ai-friend", OURS, by_users("peer_by_users", "ttft_p50_s")),
        ("llama-server", PEER, by_users("peer_by_users", "peer_ttft_p50_s")),
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH * 2.0
    );
    panel(&mut svg, 0.0, "Tokens per second, by users", &speed)?;
    panel(&mut svg, WIDTH, "Time to first token, median, seconds", &wait)?;
    svg.push_str("</svg>\n");
    std::fs::write(path.with_extension("svg"), svg)?;
    Ok(Map::new())
}

fn panel(svg: &mut String, left: f64, title: &str, lines: &[Line<'_>]) -> std::fmt::Result {
    let all = || lines.iter().flat_map(|line| &line.2);
    let most = all().fold(0.0_f64, |most, point| most.max(point.1)).max(1e-9) * 1.08;
    let last = all().fold(1.0_f64, |last, point| last.max(point.0));
    // Users double from tick to tick.
    let x = |users: f64| left + LEFT + (users.log2() / last.log2().max(1.0)) * (WIDTH - LEFT - 16.0);
    let y = |value: f64| HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP);
    writeln!(svg, "<text x=\"{}\" y=\"16\" font-size=\"13\">{title}</text>", left + LEFT)?;
    for step in 0..=4 {
        let value = most / 1.08 * f64::from(step) / 4.0;
        let digits = if most < 10.0 { 2 } else { 0 };
        writeln!(
            svg,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            left + LEFT,
            left + WIDTH - 16.0,
            left + LEFT - 6.0,
            y(value) + 4.0,
            y = y(value),
        )?;
    }
    let mut ticks: Vec<f64> = all().map(|point| point.0).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for users in ticks {
        let (at, under) = (x(users), HEIGHT - BOTTOM + 16.0);
        writeln!(svg, "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{users}</text>")?;
    }
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        )?;
        for point in points {
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(point.0), y(point.1))?;
        }
        let legend = left + LEFT + index as f64 * 96.0;
        writeln!(svg, "<text x=\"{legend}\" y=\"{}\" fill=\"{colour}\">{name}</text>", HEIGHT - 4.0)?;
    }
    Ok(())
}
