# Jobs for the tests of faults: under the profile and with the resource functions of the pipeline.
# It is run from the root of a copy of the repository, for its modules are found beside the Snakefile.
# A job appends to its file, line by line, so that two of the same job would leave every line twice.
# A test holds a job in its middle, for as long as it needs, by the file hold_{part}.


configfile: "config.yaml"


include: "rules/common.smk"


localrules:
    all,
    join_parts,


LINES = {"short": 3, "long": 6}  # about a second each


rule all:
    input:
        "results/whole.txt",


rule write_part:
    output:
        "results/part_{part}.txt",
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        lines=lambda wildcards: LINES[wildcards.part],
    shell:
        "for line in $(seq {params.lines}); do echo {wildcards.part} $line >> {output}; sleep 1; "
        "while [ $line = 2 ] && [ -e hold_{wildcards.part} ]; do sleep 0.5; done; done"


# Two rules of one group: the second one's memory depends on a file that the group makes.
rule number_lines:
    input:
        "results/part_{part}.txt",
    output:
        "results/numbered_{part}.txt",
    group:
        "lines"
    resources:
        mem_mb=memory,
        runtime=minutes,
    shell:
        "cat -n {input} >> {output}"


rule reverse_lines:
    input:
        "results/numbered_{part}.txt",
    output:
        "results/reversed_{part}.txt",
    group:
        "lines"
    resources:
        mem_mb=memory,
        runtime=minutes,
    shell:
        "tac {input} >> {output}"


rule join_parts:
    input:
        expand("results/reversed_{part}.txt", part=LINES),
    output:
        "results/whole.txt",
    shell:
        "cat {input} >> {output}"


# Works with more memory than the first attempt has (700 MB), and less than the second.
rule use_memory:
    output:
        "results/memory.txt",
    resources:
        mem_mb=memory,
        runtime=minutes,
    shell:
        "python3 -c 'import time; held = b\"x\" * 900_000_000; time.sleep(5); print(len(held))' > {output}"


# Works longer than the first attempt may (a minute, Slurm's least), and less than the second.
rule use_time:
    output:
        "results/time.txt",
    resources:
        mem_mb=memory,
        runtime=lambda wildcards, input, attempt: minutes(wildcards, input, attempt)
        // 10,
    shell:
        "sleep 90; echo done > {output}"
