// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// reduce is reduce.py for MPICH: the sum of the squares of all ranks, and pi by the midpoint rule, both reduced over all
// processes. Rank 0 prints one line that starts with "result:". Exit code 1: a sum is wrong.

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const long intervals = 1000000;

static double share_of_pi(int rank, int size) {
	double sum = 0;
	for (long i = rank; i < intervals; i += size) {
		double x = (i + 0.5) / intervals;
		sum += 4 / (1 + x * x);
	}
	return sum / intervals;
}

// distinct counts the different names among those of all processes.
static int distinct(const char *names, int size) {
	int found = 0;
	for (int i = 0; i < size; i++) {
		int seen = 0;
		for (int j = 0; j < i && !seen; j++)
			seen = strcmp(names + i * MPI_MAX_PROCESSOR_NAME, names + j * MPI_MAX_PROCESSOR_NAME) == 0;
		found += !seen;
	}
	return found;
}

// ucp_disconnect_nb stands before the function of UCX, and says that a connection is closed. MPICH 4.0 waits in MPI_Finalize until
// all are, and then in a barrier where it answers nobody: those who still close theirs may wait for ever (pmodels/mpich#6596).
void *ucp_disconnect_nb(void *endpoint) {
	(void)endpoint;
	return NULL;
}

int main(int argc, char **argv) {
	MPI_Init(&argc, &argv);
	int rank, size, length;
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);

	long square = (long)rank * rank, squares;
	double share = share_of_pi(rank, size), pi;
	MPI_Allreduce(&square, &squares, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
	MPI_Allreduce(&share, &pi, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);

	char name[MPI_MAX_PROCESSOR_NAME] = "";
	MPI_Get_processor_name(name, &length);
	char *names = calloc(size, MPI_MAX_PROCESSOR_NAME);
	MPI_Gather(name, MPI_MAX_PROCESSOR_NAME, MPI_CHAR, names, MPI_MAX_PROCESSOR_NAME, MPI_CHAR, 0, MPI_COMM_WORLD);
	if (rank == 0)
		printf("result: squares %ld, pi %.6f, by %d processes on %d hosts\n", squares, pi, size, distinct(names, size));
	free(names);

	long n = size - 1;
	int right = squares == n * (n + 1) * (2 * n + 1) / 6 && fabs(pi - M_PI) < 1e-9;
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Finalize();
	return right ? 0 : 1;
}
