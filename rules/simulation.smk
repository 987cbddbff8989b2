# The raw files of the bundled case. Real data have no such rules.

if CASE.simulated:

    localrules:
        simulate_timeline,

    # A batch's files are those that the sheet names, neither more nor less: no pattern says which.
    for batch in CASE.batches:

        rule:
            name:
                f"simulate_{batch}"
            input:
                settings=CASE.settings["simulation"],
            output:
                [row["path"] for row in simulated(batch_rows(batch), "fcs")],
                truth=f"results/simulated/truth/{batch}.json",
            log:
                f"logs/simulate/{batch}.log",
            benchmark:
                f"logs/benchmarks/simulate/{batch}.tsv"
            group:
                "simulate"
            conda:
                "../envs/simulation.yaml"
            resources:
                mem_mb=memory,
                runtime=minutes,
            params:
                scenario=CASE.settings["scenario"],
                seed=CASE.settings["seed"],
                acquisitions=simulated(batch_rows(batch), "fcs"),
                plates=[],
                code=code("scripts/simulate_acquisitions.py", "envs/simulation.yaml"),
            script:
                "../scripts/simulate_acquisitions.py"

    rule simulate_plates:
        input:
            settings=CASE.settings["simulation"],
            maps=sorted({row["map_file"] for row in CASE.plates}),
        output:
            [row["path"] for row in simulated(CASE.plates, "file")],
            truth="results/simulated/truth/plates.json",
        log:
            "logs/simulate/plates.log",
        benchmark:
            "logs/benchmarks/simulate/plates.tsv"
        group:
            "simulate"
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=minutes,
        params:
            scenario=CASE.settings["scenario"],
            seed=CASE.settings["seed"],
            acquisitions=[],
            plates=simulated(CASE.plates, "file"),
            code=code("scripts/simulate_acquisitions.py", "envs/simulation.yaml"),
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
        benchmark:
            "logs/benchmarks/simulate_timeline.tsv"
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=minutes,
        params:
            scenario=CASE.settings["scenario"],
            code=code("scripts/simulate_timeline.py", "envs/simulation.yaml"),
        script:
            "../scripts/simulate_timeline.py"

    # Not part of the report: `make score` asks for it.
    rule score_simulation:
        input:
            **published("populations", "markers", "curves", "changes", "claims"),
            settings=CASE.settings["simulation"],
            truths=expand(
                "results/simulated/truth/{part}.json", part=[*CASE.batches, "plates"]
            ),
            timeline="results/simulated/truth/timeline.json",
        output:
            page="results/score/score.html",
            table="results/score/score.tsv",
        log:
            "logs/score_simulation.log",
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=minutes,
        params:
            scenario=CASE.settings["scenario"],
            code=code("scripts/score_simulation.py", "envs/simulation.yaml"),
        script:
            "../scripts/score_simulation.py"
