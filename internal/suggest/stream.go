// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"hash/fnv"
	"math/rand/v2"
)

// stream is the random numbers of one purpose of one proposal. They depend on
// the seed, the purpose and the number of the proposal only, so that a proposal
// is the same in whatever batch, and after whatever restart, it is made.
func stream(seed uint64, purpose string, index int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(mix(seed^mix(h.Sum64())), mix(uint64(index)+1)))
}

// mix spreads each bit of x over all (the finaliser of SplitMix64): seeds that
// people choose are small and near each other.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
