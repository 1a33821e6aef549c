// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// wild is an arbitrary space: numbers, a stepped axis, words, and a number that
// exists with the first word only.
func wild() Space {
	levels := []float64{0.1, 0.3, 0.5, 0.7, 0.9}
	return Space{
		Axes: []Axis{{}, {Levels: levels}, {Words: 3}, {}},
		Snap: func(raw, point []float64) bool {
			copy(point, raw)
			point[1] = levels[min(int(raw[1]*5), 4)]
			point[2] = (math.Floor(min(raw[2]*3, 2)) + 0.5) / 3
			if point[2] > 0.2 {
				point[3] = math.NaN()
			}
			return true
		},
	}
}

func cube(axes int) Space {
	return Space{Axes: make([]Axis, axes), Snap: func(raw, point []float64) bool { copy(point, raw); return true }}
}

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// some are random points of a space, and losses of the objectives there.
func some(s Space, n, objectives int, seed uint64) Evidence {
	r, e := stream(seed), Evidence{}
	for range n {
		raw, point := make([]float64, len(s.Axes)), make([]float64, len(s.Axes))
		for i := range raw {
			raw[i] = r.Float64()
		}
		s.Snap(raw, point)
		losses := make([]float64, objectives)
		for k := range losses {
			for i, u := range raw {
				losses[k] += math.Exp(3*math.Abs(u-float64(k+i+1)/5)) + 0.1*math.Sin(9*u)
			}
		}
		e.Points, e.Losses = append(e.Points, point), append(e.Losses, losses)
	}
	for range objectives {
		e.Reference = append(e.Reference, math.NaN())
	}
	return e
}

// A prediction is that of the textbook, by dense algebra without any shortcut.
func TestPredictionsAreThoseOfTheTextbook(t *testing.T) {
	s := wild()
	e := some(s, 25, 1, 3)
	m, _ := train(s.Axes, e.Points, e.objective(0), pairs(s.Axes, e.Points))
	kernel := func(x, y []float64) float64 { return covariance(m, x, y) }
	n := len(e.Points)
	known, residual := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	for i, x := range e.Points {
		residual.SetVec(i, m.warp.apply(e.Losses[i][0])-m.mean)
		for j := range i + 1 {
			known.SetSym(i, j, kernel(x, e.Points[j]))
		}
		known.SetSym(i, i, m.variance*(1+m.noise))
	}
	for _, x := range some(s, 20, 1, 4).Points {
		k, v := mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
		for i, y := range e.Points {
			k.SetVec(i, kernel(x, y))
		}
		if err := v.SolveVec(known, k); err != nil {
			t.Fatal(err)
		}
		mean, deviation := m.mean+mat.Dot(v, residual), math.Sqrt(m.variance-mat.Dot(v, k))
		if got := m.at(x, slope{}); differ(got.mean, mean, 1e-6) || differ(got.deviation, deviation, 1e-5) {
			t.Errorf("at %v: %v, want mean %v and deviation %v", x, got, mean, deviation)
		}
		if one, many := m.at(x, slope{}), m.all([][]float64{x})[0]; differ(one.mean, many.mean, 1e-9) || differ(one.deviation, many.deviation, 1e-7) {
			t.Errorf("at %v: %v alone and %v among many", x, one, many)
		}
	}
}

// covariance is that of two points by the definition of the kernel.
func covariance(m *model, x, y []float64) float64 {
	sum, single := 0.0, 0.0
	for a := range m.axes {
		d := 0.0
		switch {
		case math.IsNaN(x[a]) && math.IsNaN(y[a]):
		case math.IsNaN(x[a]) || math.IsNaN(y[a]) || m.axes[a].Words > 0 && x[a] != y[a]:
			d = m.scale[a]
		default:
			d = (x[a] - y[a]) * (x[a] - y[a]) * m.scale[a]
		}
		sum, single = sum+d, single+textbook(d)
	}
	return m.variance * (textbook(sum) + m.share*single) / (1 + m.share*float64(len(m.axes)))
}

func textbook(d float64) float64 {
	r := math.Sqrt(5 * d)
	return (1 + r + r*r/3) * math.Exp(-r)
}

// Believing a point is the same as fitting with its expected value, for the same parameters.
func TestABelievedPointIsAnObservedOne(t *testing.T) {
	s := cube(2)
	e := some(s, 12, 1, 5)
	m, _ := train(s.Axes, e.Points, e.objective(0), pairs(s.Axes, e.Points))
	x, far := []float64{0.31, 0.62}, []float64{0.8, 0.1}
	before, here := m.at(far, slope{}), m.at(x, slope{})
	m.add(x, 0)
	after, there := m.at(far, slope{}), m.at(x, slope{})
	if differ(before.mean, after.mean, 1e-9) || differ(here.mean, there.mean, 1e-9) {
		t.Errorf("the mean moved from %v to %v, and at the point from %v to %v", before.mean, after.mean, here.mean, there.mean)
	}
	// One observation of variance v with noise leaves v*noise/(v+noise).
	v, noise := here.deviation*here.deviation, m.noise*m.variance
	if want := math.Sqrt(v * noise / (v + noise)); differ(there.deviation, want, 1e-3) {
		t.Errorf("the deviation there is %v, want %v", there.deviation, want)
	}
	if after.deviation > before.deviation {
		t.Errorf("the deviation elsewhere grew from %v to %v", before.deviation, after.deviation)
	}
}

func TestGradientsAreThoseOfFiniteDifferences(t *testing.T) {
	s := wild()
	e := some(s, 20, 3, 6)
	f := newFit(newWarp(e.objective(0)), e.objective(0), pairs(s.Axes, e.Points))
	theta := []float64{-0.5, 0.3, 0.7, -0.2, -0.7, math.Log(1e-3), -1}
	check(t, "the fit", f.cost, theta, []int{0, 1, 2, 3, 4, 5, 6})

	failed := some(s, 6, 1, 7)
	for i := range failed.Losses {
		failed.Losses[i] = nil
	}
	for name, q := range map[string]*Search{
		"EI":  New(s, Rules["EI"], some(s, 20, 1, 6)),
		"PI":  New(s, Rules["PI"], some(s, 20, 1, 6)),
		"LCB": New(s, Rules["LCB"], some(s, 20, 1, 6)),
		"two objectives with failures": New(s, nil, Evidence{
			append(slices.Clone(failed.Points), some(s, 20, 2, 6).Points...), append(slices.Clone(failed.Losses), some(s, 20, 2, 6).Losses...), []float64{math.NaN(), math.NaN()},
		}),
		"three objectives": New(s, nil, e),
	} {
		use := q.trust.acquisition(q, 0.1)
		check(t, name, use.at, []float64{0.37, 0.3, 1. / 6, 0.81}, []int{0, 3})
		check(t, name, use.at, []float64{0.93, 0.9, 0.5, math.NaN()}, []int{0})
	}
}

func check(t *testing.T, what string, f func(x, gradient []float64) float64, x []float64, coordinates []int) {
	t.Helper()
	const h = 1e-5
	gradient, none := make([]float64, len(x)), make([]float64, len(x))
	f(x, gradient)
	for _, i := range coordinates {
		up, down := slices.Clone(x), slices.Clone(x)
		up[i], down[i] = x[i]+h, x[i]-h
		if want := (f(up, none) - f(down, none)) / (2 * h); differ(gradient[i], want, 1e-3) {
			t.Errorf("%s: derivative %d at %v is %v, want %v", what, i, x, gradient[i], want)
		}
	}
}

func TestLogarithmsOfTailsAreExact(t *testing.T) {
	// Integrals by 60 digits' arithmetic.
	for u, want := range map[float64]struct{ improvement, below float64 }{
		0:   {math.Log(1 / math.Sqrt(2*math.Pi)), math.Log(0.5)},
		-5:  {-16.7443011627, -15.064998394},
		-40: {-808.298568357, -804.608442014},
	} {
		if got, _ := logImprovement(u); differ(got, want.improvement, 1e-11) {
			t.Errorf("improvement at %v: %v, want %v", u, got, want.improvement)
		}
		if got, _ := logBelow(u); differ(got, want.below, 1e-11) {
			t.Errorf("below %v: %v, want %v", u, got, want.below)
		}
	}
	for _, f := range []func(float64) (float64, float64){logImprovement, logBelow} {
		last := math.Inf(-1)
		for u := -300.0; u < 8; u += 0.01 {
			value, slope := f(u)
			after, _ := f(u + 1e-4)
			if !(value > last || u > 7) || differ(slope, (after-value)/1e-4, 1e-2) {
				t.Fatalf("at %v: %v after %v, slope %v", u, value, last, slope)
			}
			last = value
		}
	}
}

// The expected improvement of the hypervolume is the mean of what samples improve.
func TestHypervolumeImprovementIsThatOfSamples(t *testing.T) {
	for name, front := range map[string][][]float64{
		"two objectives":   {{0.1, 0.8}, {0.4, 0.5}, {0.7, 0.1}, {0.75, 0.15}},
		"three objectives": {{0.1, 0.8, 0.5}, {0.4, 0.5, 0.2}, {0.7, 0.1, 0.6}, {0.3, 0.6, 0.9}, {0.1, 0.8, 0.7}},
		"no front":         {{2, 2}},
	} {
		k := len(front[0])
		reference, e := []float64{1, 1, 1}[:k], []expectation{{0.5, 0.3}, {0.4, 0.2}, {0.6, 0.4}}[:k]
		a := acquisition{cells: cells(front, reference)}
		got := math.Exp(a.score(e, make([]partial, k)))
		r, sum := stream(8), 0.0
		const samples = 100_000
		for range samples {
			y := make([]float64, k)
			for i := range y {
				y[i] = e[i].mean + e[i].deviation*r.NormFloat64()
			}
			sum += gain(a.cells, y)
			if z := []float64{r.Float64(), r.Float64(), r.Float64()}[:k]; inside(a.cells, z) == slices.ContainsFunc(front, func(p []float64) bool { return covers(p, z) }) {
				t.Fatalf("%s: %v is in a cell and beaten by the front, or neither", name, z)
			}
		}
		if differ(got, sum/samples, 0.02) {
			t.Errorf("%s: %v, samples have %v", name, got, sum/samples)
		}
	}
}

func gain(all []cell, y []float64) float64 {
	total := 0.0
	for _, c := range all {
		volume := 1.0
		for i := range y {
			volume *= max(c.upper[i]-max(c.lower[i], y[i]), 0)
		}
		total += volume
	}
	return total
}

func inside(all []cell, y []float64) bool {
	n := 0
	for _, c := range all {
		in := true
		for i := range y {
			in = in && y[i] >= c.lower[i] && y[i] < c.upper[i]
		}
		if in {
			n++
		}
	}
	return n == 1
}

func TestDescentFindsTheLeastOfAValleyAndOfACorner(t *testing.T) {
	valley := func(x, g []float64) float64 {
		a, b := x[1]-x[0]*x[0], 1-x[0]
		g[0], g[1] = -400*a*x[0]-2*b, 200*a
		return 100*a*a + b*b
	}
	for name, tt := range map[string]struct{ upper, want []float64 }{
		"free":      {[]float64{2, 2}, []float64{1, 1}},
		"at a wall": {[]float64{0.5, 2}, []float64{0.5, 0.25}},
	} {
		x := []float64{-1.2, 1}
		descent{valley, []float64{-2, -2}, tt.upper, 200, 1e-8, 0}.run(x)
		if math.Hypot(x[0]-tt.want[0], x[1]-tt.want[1]) > 1e-4 {
			t.Errorf("%s: %v, want %v", name, x, tt.want)
		}
	}
}

// The warp follows the values: it draws in a long tail and leaves even values alone.
func TestTheWarpIsChosenByTheValues(t *testing.T) {
	s := cube(1)
	var points [][]float64
	var even, tailed []float64
	for i := range 25 {
		u := float64(i) / 24
		points = append(points, []float64{u})
		even = append(even, math.Sin(5*u))
		tailed = append(tailed, math.Exp(4*math.Sin(5*u)))
	}
	apart := pairs(s.Axes, points)
	a, _ := train(s.Axes, points, even, apart)
	b, _ := train(s.Axes, points, tailed, apart)
	if a.warp.c < 1 || b.warp.c > 0.5 {
		t.Errorf("c is %v for even values and %v for those with a tail", a.warp.c, b.warp.c)
	}
}

func differ(a, b, tolerance float64) bool {
	return !(math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b), 1e-3))
}
