# One image for both servers and the worker.
FROM python:3.12-slim

# libgomp1: LightGBM; postgresql-client: headway backup
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 postgresql-client git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /headway
COPY pyproject.toml constraints.txt README.md ./
COPY src src
COPY flows flows
COPY prefect.yaml ./
RUN pip install --no-cache-dir -c constraints.txt -e .
COPY conf conf
RUN mkdir -p data mlruns .prefect backups
ENV PYTHONUNBUFFERED=1
CMD ["headway", "status"]
