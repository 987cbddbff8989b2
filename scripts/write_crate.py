"""The run as a Workflow Run RO-Crate."""

from datetime import UTC

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    import shutil
    from datetime import datetime
    from pathlib import Path

    from immunotrace.crate import describe_run, read_benchmarks
    from immunotrace.report.tables import load_record, load_software

    code, results = Path(snakemake.scriptdir).parent, Path(snakemake.output.metadata).parent
    case = json.loads(Path(snakemake.input.case).read_text(encoding="utf-8"))
    for name, path in zip(snakemake.params.workflow, snakemake.output.workflow, strict=True):
        shutil.copyfile(code / name, aside(path))
    crate = describe_run(
        case,
        load_record(results)["settings"],
        load_software(results, case),
        results,
        [
            *(snakemake.input.case, *snakemake.input.software, *snakemake.input.results),
            *(
                str(gates)
                for folder in snakemake.input.gates
                for gates in Path(folder).glob("*.xml")
            ),
            *snakemake.input.thresholds,
        ],
        {
            path: code / name
            for name, path in zip(snakemake.params.workflow, snakemake.output.workflow, strict=True)
        },
        read_benchmarks("logs/benchmarks"),
        datetime.now(UTC).year,
    )
    Path(aside(snakemake.output.metadata)).write_text(
        json.dumps(crate, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
