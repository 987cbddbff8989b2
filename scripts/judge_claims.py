from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.case import read_timeline
    from immunotrace.claims import judge_claims
    from immunotrace.errors import InputError
    from immunotrace.tables import read_tsv, write_tsv

    timeline = []
    if snakemake.input.timeline:
        timeline, problems = read_timeline(snakemake.input.timeline[0])
        if problems:
            raise InputError("\n".join(problems))
    write_tsv(
        judge_claims(
            snakemake.params.claims,
            read_tsv(snakemake.input.changes),
            timeline,
            snakemake.params.patient,
        ),
        aside(snakemake.output[0]),
    )
