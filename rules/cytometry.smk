# Raw FCS files to populations and markers; one job takes all files of a batch (one day's run).


localrules:
    cytometry_tables,


rule ingest_batch:
    input:
        fcs=lambda wc: [row["fcs"] for row in batch_rows(wc.batch)],
    output:
        qc="results/cytometry/{batch}/qc.tsv",
        kept="results/cytometry/{batch}/kept.npz",
        channels="results/cytometry/{batch}/channels.tsv",
        time="results/cytometry/{batch}/time.tsv",
    log:
        "logs/ingest_batch/{batch}.log",
    benchmark:
        "logs/benchmarks/ingest_batch/{batch}.tsv"
    conda:
        "../envs/cytometry.yaml"
    resources:
        mem_mb=memory_one_by_one,
        runtime=minutes,
    params:
        rows=lambda wc: read_only(batch_rows(wc.batch)),
        settings=settings("cytometry", "qc", "on_failed_qc", "on_unreadable"),
        code=code("scripts/ingest_batch.py", "envs/cytometry.yaml"),
    script:
        "../scripts/ingest_batch.py"


rule place_thresholds:
    input:
        fcs=lambda wc: [row["fcs"] for row in rows_for_thresholds(wc)],
        gates=lambda wc: CASE.panels[wc.panel]["gates"]["file"],
        moved=lambda wc: moved_gate_files(rows_for_thresholds(wc)),
        spillover=lambda wc: spillover_files(rows_for_thresholds(wc)),
    output:
        thresholds="results/cytometry/thresholds/{subject}/{panel}.tsv",
        fmo_medians="results/cytometry/fmo_medians/{subject}/{panel}.tsv",
    log:
        "logs/place_thresholds/{subject}/{panel}.log",
    benchmark:
        "logs/benchmarks/place_thresholds/{subject}/{panel}.tsv"
    conda:
        "../envs/cytometry.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        rows=lambda wc: rows_for_thresholds(wc),
        panel=lambda wc: gated(CASE.panels[wc.panel]),
        settings=settings(
            "cytometry",
            "fmo_quantile",
            "minimum_events",
            "median",
            "qc",
            "on_unreadable",
        ),
        code=code("scripts/place_thresholds.py", "envs/cytometry.yaml"),
    script:
        "../scripts/place_thresholds.py"


rule quantify_batch:
    input:
        fcs=lambda wc: [row["fcs"] for row in full_rows(wc.batch)],
        qc="results/cytometry/{batch}/qc.tsv",
        kept="results/cytometry/{batch}/kept.npz",
        thresholds=lambda wc: placed("thresholds", wc.batch),
        fmo_medians=lambda wc: placed("fmo_medians", wc.batch),
        gates=lambda wc: gate_files(full_rows(wc.batch)),
        moved=lambda wc: moved_gate_files(full_rows(wc.batch)),
        spillover=lambda wc: spillover_files(full_rows(wc.batch)),
    output:
        populations="results/cytometry/{batch}/populations.tsv",
        markers="results/cytometry/{batch}/markers.tsv",
        densities="results/cytometry/{batch}/densities.tsv",
        panels="results/cytometry/{batch}/panels.tsv",
        hierarchy="results/cytometry/{batch}/hierarchy.tsv",
        gates=directory("results/cytometry/{batch}/gates"),
    log:
        "logs/quantify_batch/{batch}.log",
    benchmark:
        "logs/benchmarks/quantify_batch/{batch}.tsv"
    conda:
        "../envs/cytometry.yaml"
    resources:
        mem_mb=memory_one_by_one,
        runtime=minutes,
    params:
        rows=lambda wc: full_rows(wc.batch),
        panels=lambda wc: panels_of(full_rows(wc.batch)),
        settings=settings("cytometry", "minimum_events", "median"),
        seed=CASE.settings["seed"],
        code=code("scripts/quantify_batch.py", "envs/cytometry.yaml"),
    script:
        "../scripts/quantify_batch.py"


rule cytometry_tables:
    input:
        populations=expand(
            "results/cytometry/{batch}/populations.tsv", batch=CASE.batches
        ),
        markers=expand("results/cytometry/{batch}/markers.tsv", batch=CASE.batches),
        qc=expand("results/cytometry/{batch}/qc.tsv", batch=CASE.batches),
        channels=expand("results/cytometry/{batch}/channels.tsv", batch=CASE.batches),
    output:
        populations="results/tables/populations.tsv",
        markers="results/tables/markers.tsv",
        qc="results/tables/cytometry_qc.tsv",
        channels="results/tables/cytometry_qc_channels.tsv",
    log:
        "logs/cytometry_tables.log",
    benchmark:
        "logs/benchmarks/cytometry_tables.tsv"
    conda:
        "../envs/cytometry.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        live={
            name: panel["live"]
            for name, panel in CASE.panels.items()
            if "live" in panel
        },
        code=code("scripts/cytometry_tables.py", "envs/cytometry.yaml"),
    script:
        "../scripts/cytometry_tables.py"
