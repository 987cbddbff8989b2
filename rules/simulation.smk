# The raw files of the bundled case. Real data have no such rules.

if CASE.simulated:

    SUBJECTS = [CASE.settings["case"]["patient"], CASE.settings["case"]["control"]]
    FMO_CONTROLS = sorted(
        {
            f"{row['panel']}_FMO_{row['staining'].removeprefix('FMO:')}"
            for row in CASE.acquisitions
            if row["staining"].startswith("FMO:")
        }
    )

    rule simulate_batch:
        input:
            settings=CASE.settings["simulation"],
            maps=sorted({row["map_file"] for row in CASE.plates}),
        output:
            expand(
                "results/simulated/{{batch}}/{subject}_{file}",
                subject=SUBJECTS,
                file=["T.fcs", "B.fcs", "plate.txt"],
            ),
            truth="results/simulated/truth/{batch}.json",
        log:
            "logs/simulate_batch/{batch}.log",
        benchmark:
            "logs/benchmarks/simulate_batch/{batch}.tsv"
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=10,
        params:
            scenario=CASE.settings["scenario"],
            seed=CASE.settings["seed"],
            acquisitions=lambda wc: [
                {**row, "path": row["fcs"]} for row in full_rows(wc.batch)
            ],
            plates=lambda wc: simulated_plates(wc.batch),
            code=code("scripts/simulate_acquisitions.py"),
        script:
            "../scripts/simulate_acquisitions.py"

    rule simulate_fmo_controls:
        input:
            settings=CASE.settings["simulation"],
        output:
            expand(
                "results/simulated/{{batch}}/{subject}_{control}.fcs",
                subject=SUBJECTS,
                control=FMO_CONTROLS,
            ),
            truth="results/simulated/truth/fmo/{batch}.json",
        log:
            "logs/simulate_fmo_controls/{batch}.log",
        benchmark:
            "logs/benchmarks/simulate_fmo_controls/{batch}.tsv"
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=10,
        params:
            scenario=CASE.settings["scenario"],
            seed=CASE.settings["seed"],
            acquisitions=lambda wc: [
                {**row, "path": row["fcs"]} for row in fmo_rows(wc.batch)
            ],
            plates=[],
            code=code("scripts/simulate_acquisitions.py"),
        script:
            "../scripts/simulate_acquisitions.py"

    rule simulate_timeline:
        input:
            settings=CASE.settings["simulation"],
        output:
            timeline="results/simulated/timeline.tsv",
            truth="results/simulated/truth/timeline.json",
        log:
            "logs/simulate_timeline.log",
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=10,
        params:
            scenario=CASE.settings["scenario"],
            code=code("scripts/simulate_timeline.py"),
        script:
            "../scripts/simulate_timeline.py"
