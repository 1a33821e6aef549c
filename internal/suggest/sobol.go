// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	_ "embed"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// directions are the initial direction numbers of Sobol's sequence by Joe and
// Kuo (2008, new-joe-kuo-6.21201): degree, polynomial and numbers of the second
// and further dimensions, one a line.
//
//go:embed directions.txt
var directions string

// sobolDims is how many dimensions the table is for.
const sobolDims = 128

var sobolSettings = []Setting{randomState}

func sobolFaults(p Problem, _ settings) []Fault {
	if n := len(p.Space.Parameters); n > sobolDims {
		return []Fault{{"parameters", fmt.Sprintf("Sobol has %d dimensions, and there are %d parameters: use Random", sobolDims, n)}}
	}
	return nil
}

// pointLabel is the label of the number of a quasi-random point.
const pointLabel = "point"

// sobol proposes the points of a scrambled sequence in their order.
func sobol(s *search, n int) Answer {
	return s.eachNew(n, s.spread("of a scrambled Sobol sequence"))
}

// skips is how many points of the sequence in a row may be forbidden or seen,
// before chance is asked.
const skips = 1000

// spread makes proposals that are even over the cube: the next points of the
// search's sequence, without those that are forbidden or seen. Dimensions beyond
// the table of directions are drawn by chance.
func (s *search) spread(why string) func(index int) (Proposal, bool) {
	q, next := newSequence(min(len(s.cube.dims), sobolDims), s.Seed), s.nextPoint()
	return func(index int) (Proposal, bool) {
		r := stream(s.Seed, "spread", index)
		for range skips {
			u := s.cube.uniform(r)
			copy(u, q.at(next))
			a, number := s.cube.assignment(u), next
			next++
			if !s.seen[s.cube.key(a)] && s.cube.meets(a) {
				labels := map[string]string{pointLabel: strconv.Itoa(number)}
				return Proposal{Assignment: a, Labels: labels, Why: fmt.Sprintf("point %d %s", number, why)}, true
			}
		}
		return s.drawn("spread-drawn", index, "drawn at random, for the sequence meets what is tried or forbidden only")
	}
}

// nextPoint is the number after the last one that was used.
func (s *search) nextPoint() int {
	next := 0
	for _, t := range s.own {
		if k, err := strconv.Atoi(t.Labels[pointLabel]); err == nil {
			next = max(next, k+1)
		}
	}
	return next
}

// sequence is Sobol's with Owen's scrambling, which keeps its evenness and makes
// each point uniform by itself. Point i is a function of the seed and i.
type sequence struct {
	columns [][32]uint32 // by dimension: what each bit of the number contributes
	seed    uint64
}

func newSequence(dims int, seed uint64) sequence {
	q := sequence{columns: make([][32]uint32, dims), seed: seed}
	lines := strings.Split(directions, "\n")
	for d := range q.columns {
		if d == 0 {
			for i := range 32 {
				q.columns[0][i] = 1 << (31 - i)
			}
			continue
		}
		q.columns[d] = column(lines[d-1])
	}
	return q
}

// column expands a line of directions by its recurrence.
func column(line string) (v [32]uint32) {
	var row []uint32
	for field := range strings.FieldsSeq(line) {
		n, _ := strconv.ParseUint(field, 10, 32)
		row = append(row, uint32(n))
	}
	degree, polynomial := int(row[0]), row[1]
	for i := range 32 {
		if i < degree {
			v[i] = row[2+i] << (31 - i)
			continue
		}
		v[i] = v[i-degree] ^ v[i-degree]>>degree
		for k := 1; k < degree; k++ {
			v[i] ^= polynomial >> (degree - 1 - k) & 1 * v[i-k]
		}
	}
	return v
}

// at is point i, each coordinate in the middle of its 2^-32.
func (q sequence) at(i int) []float64 {
	u := make([]float64, len(q.columns))
	for d := range u {
		x := uint32(0)
		for k := range 32 {
			x ^= uint32(i) >> k & 1 * q.columns[d][k]
		}
		u[d] = (float64(scramble(x, uint32(mix(q.seed^mix(uint64(d)))))) + 0.5) / (1 << 32)
	}
	return u
}

// scramble flips each bit by chance, the same for all that agree in the bits
// above it: Owen's scrambling by a hash (Laine and Karras 2011, with the
// constants of Vegdahl 2021).
func scramble(x, seed uint32) uint32 {
	x = bits.Reverse32(x)
	x ^= x * 0x3d20adea
	x += seed
	x *= seed>>16 | 1
	x ^= x * 0x05526c56
	x ^= x * 0x53a22864
	return bits.Reverse32(x)
}
