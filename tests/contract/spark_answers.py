"""Run with a Python that has pyspark: queries and files come on standard input, answers go out as one line.

Ends with status 3, saying why, where Spark is not installed.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    try:
        from pyspark.sql import SparkSession  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError as error:
        sys.stdout.write(f"{error}\n")
        return 3
    request = json.load(sys.stdin)
    try:
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate()
        )
    except Exception as error:  # noqa: BLE001  no Java, or one it cannot use
        sys.stdout.write(f"{str(error).splitlines()[0]}\n")
        return 3
    for name, files in request["files"].items():
        reader = spark.read.option("basePath", request["roots"][name])
        reader.parquet(*files).createOrReplaceTempView(name)
    told = {name: [list(row) for row in spark.sql(sql).collect()] for name, sql in request["queries"].items()}
    spark.stop()
    sys.stdout.write(f"\n{json.dumps(told, default=str)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
