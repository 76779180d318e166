//! The command line of the simulator, which `cargo xtask simulate` runs: reads what is to be simulated, prints a table and
//! writes figures and plots.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is the job of a command"
)]

use std::{path::PathBuf, process::ExitCode, time::Instant};

use bigcommerce_b2b_auth_simulator::{
    Changes, Contender, Deploy, Error, Scenario, advice, simulate, table, write,
};
use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser};

/// Simulates a day of a storefront and shows what managed tokens make of it, beside what people write in their place.
#[derive(Debug, Parser)]
#[command(name = "simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// The scenario as a JSON file; what it does not name has its default, and flags go before it
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Who is to hand out tokens; several are run one after the other
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "ours,unspread,moka,naive"
    )]
    contender: Vec<Contender>,
    /// What the deploy does to the process; with several, each is run
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    deploy: Vec<Deploy>,
    /// Where the figures and the plots are written
    #[arg(long, value_name = "DIR", default_value = "target/simulate")]
    out: PathBuf,
    #[command(flatten)]
    changes: Changes,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let matches = command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let scenario = match &arguments.scenario {
        Some(file) => Scenario::from_file(file)?,
        None => Scenario::default(),
    };
    let scenario = arguments.changes.apply(scenario);
    let mut runs = Vec::new();
    let mut refused = None;
    for contender in &arguments.contender {
        for deploy in &arguments.deploy {
            match contender.can_be_deployed(*deploy) {
                Ok(()) => runs.push((*contender, *deploy)),
                Err(error) => {
                    eprintln!("left out: {error}");
                    refused = Some(error);
                }
            }
        }
    }
    if let (true, Some(error)) = (runs.is_empty(), refused) {
        return Err(error);
    }
    let mut since = Instant::now();
    let figures = simulate(&scenario, &runs, |done| {
        eprintln!("{done}: {:.1} s", since.elapsed().as_secs_f64());
        since = Instant::now();
    })?;
    println!("{}\n{}", table(&figures), advice(&figures));
    for path in write(&figures, &arguments.out)? {
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// The command with the defaults of the scenario in its help, from where they stand.
fn command() -> clap::Command {
    let defaults = serde_json::to_value(Scenario::default()).unwrap_or_default();
    let of_scenario = Changes::augment_args(clap::Command::new(""));
    let names: Vec<_> = of_scenario
        .get_arguments()
        .map(|argument| argument.get_id().clone())
        .collect();
    Arguments::command().mut_args(|argument| {
        let default = defaults.get(argument.get_id().as_str());
        match (names.contains(argument.get_id()), default) {
            (true, Some(default)) => {
                let default = default
                    .as_str()
                    .map_or_else(|| default.to_string(), str::to_owned);
                let help = argument
                    .get_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                argument.help(format!(
                    "{} [default: {default}]",
                    help.trim_end_matches('.')
                ))
            }
            _ => argument,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound_and_its_help_has_each_default() {
        let mut command = command();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        for default in ["[default: 50000]", "[default: 16:00]", "[default: fixed]"] {
            assert!(help.contains(default), "{default} in {help}");
        }
    }
}
