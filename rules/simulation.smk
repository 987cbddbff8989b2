# The raw files of the bundled case. Real data have no such rules.

if CASE.simulated:

    # A batch's files are those that the sheets name, neither more nor less: no pattern says which.
    for batch, made in simulated_batches().items():

        rule:
            name:
                f"simulate_{batch}"
            input:
                settings=CASE.settings["simulation"],
                maps=sorted({row["map"] for row in made["plates"]}),
            output:
                [row["path"] for rows in made.values() for row in rows],
                truth=f"results/simulated/truth/{batch}.json",
            log:
                f"logs/simulate/{batch}.log",
            benchmark:
                f"logs/benchmarks/simulate/{batch}.tsv"
            conda:
                "../envs/simulation.yaml"
            resources:
                mem_mb=memory,
                runtime=10,
            params:
                scenario=CASE.settings["scenario"],
                seed=CASE.settings["seed"],
                made=made,
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
        conda:
            "../envs/simulation.yaml"
        resources:
            mem_mb=memory,
            runtime=10,
        params:
            scenario=CASE.settings["scenario"],
            code=code("scripts/simulate_timeline.py", "envs/simulation.yaml"),
        script:
            "../scripts/simulate_timeline.py"
