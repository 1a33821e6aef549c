// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// guard needs no scheduler that knows gangs: pods are placed one by one, and let go again when the rest finds no place in time.
var guard = Row{Name: v1alpha1.GangGuard}

// Waits of a gang that was released: the first, which doubles, and the longest, without the jitter.
const (
	firstBackoff = 10 * time.Second
	mostBackoff  = 5 * time.Minute
	mostDoubled  = 16
)

// Waiting is a gang of Guard that holds nodes and waits for more.
type Waiting struct {
	// Name is namespace/name of its job.
	Name string
	// Placed is the number of its pods that have a node.
	Placed int32
	// Created is when the job was made.
	Created time.Time
	// Ran is since when there is work to lose: since the gang ran, or its last checkpoint; zero when it has not run since it was
	// placed last.
	Ran time.Time
}

// loss is what a release would cost: the work of its pods since they ran, or saved it.
func (w Waiting) loss(now time.Time) time.Duration {
	if w.Ran.IsZero() {
		return 0
	}
	return time.Duration(w.Placed) * max(0, now.Sub(w.Ran))
}

// before orders gangs by what their release loses, the least first: work, then places, then time spent in the cluster.
func before(a, b Waiting, now time.Time) int {
	return cmp.Or(
		cmp.Compare(a.loss(now), b.loss(now)),
		cmp.Compare(a.Placed, b.Placed),
		b.Created.Compare(a.Created),
		cmp.Compare(a.Name, b.Name),
	)
}

// Patience is how long a gang may hold nodes without its minimum: the whole timeout when nobody else waits. Among several
// that hold what the others need it is between half of it and all of it, in the order of what a release loses: they let go one
// by one, the one that loses least first, and the others find its nodes free before their own time is over.
func Patience(me Waiting, rivals []Waiting, timeout time.Duration, now time.Time) time.Duration {
	rank, others := 0, 0
	for _, r := range rivals {
		if r.Name == me.Name {
			continue
		}
		others++
		if before(r, me, now) < 0 {
			rank++
		}
	}
	if others == 0 {
		return timeout
	}
	return timeout/2 + timeout/2*time.Duration(rank)/time.Duration(others)
}

// Others are the gangs but the one of a name.
func Others(all []Waiting, name string) []Waiting {
	return slices.DeleteFunc(slices.Clone(all), func(w Waiting) bool { return w.Name == name })
}

// Backoff is the wait after a release, the nth of a job: it doubles, and up to half of it again, by the job's UID, keeps jobs that
// were released together from coming back together.
func Backoff(uid string, n int32) time.Duration {
	wait := min(firstBackoff<<min(max(n-1, 0), mostDoubled), mostBackoff)
	h := fnv.New64a()
	h.Write([]byte(uid + "/" + strconv.Itoa(int(n))))
	return (wait + wait/2000*time.Duration(h.Sum64()%1000)).Truncate(time.Second)
}
