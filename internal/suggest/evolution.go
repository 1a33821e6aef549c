// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// evolution is the state of one run of CMA-ES (Hansen 2016) in the cube: a normal
// distribution that moves towards good members and takes on the shape of their
// steps. With the margin of Hamano et al. (2022) finite dimensions never freeze.
type evolution struct {
	number       int // of the run
	size         int // of a generation
	mean         []float64
	sigma        float64
	cov          *mat.SymDense
	stretch      []float64 // of each dimension, by the margin
	pathC, pathS []float64
	weights      []float64 // of the better half
	rates
	generations int
	history     []float64 // the best loss of each generation
	// The decomposition of cov, made anew each generation.
	axes    mat.Dense
	lengths []float64
}

// rates are the constants that follow from the dimension and the size.
type rates struct{ mu, cc, cs, c1, cmu, damp, chi float64 }

func newEvolution(number, size int, mean []float64, sigma float64) *evolution {
	n := len(mean)
	e := &evolution{
		number: number, size: size, mean: mean, sigma: sigma,
		pathC: make([]float64, n), pathS: make([]float64, n), stretch: make([]float64, n), cov: mat.NewSymDense(n, nil),
	}
	for i := range n {
		e.cov.SetSym(i, i, 1)
		e.stretch[i] = 1
	}
	e.weigh()
	e.decompose()
	return e
}

// weigh computes the weights of the members, which are negative for the worse
// half, and the rates that go with them.
func (e *evolution) weigh() {
	n := float64(len(e.mean))
	for i := range e.size {
		e.weights = append(e.weights, math.Log(float64(e.size+1)/2)-math.Log(float64(i+1)))
	}
	half := max(e.size/2, 1)
	good, mu := effective(e.weights[:half])
	bad, muBad := effective(e.weights[half:])
	r := rates{mu: mu}
	r.cc = (4 + mu/n) / (n + 4 + 2*mu/n)
	r.cs = (mu + 2) / (n + mu + 5)
	r.c1 = 2 / (square(n+1.3) + mu)
	r.cmu = min(1-r.c1, 2*(mu-2+1/mu)/(square(n+2)+mu))
	r.damp = 1 + 2*max(0, math.Sqrt((mu-1)/(n+1))-1) + r.cs
	r.chi = math.Sqrt(n) * (1 - 1/(4*n) + 1/(21*n*n))
	e.rates = r
	// How much the bad members may push the shape away and leave it a shape.
	push := 0.0
	if r.cmu > 0 && bad < 0 {
		push = min(1+r.c1/r.cmu, 1+2*muBad/(mu+2), (1-r.c1-r.cmu)/(n*r.cmu))
	}
	for i := range e.weights {
		if i < half {
			e.weights[i] /= good
			continue
		}
		e.weights[i] *= push / max(-bad, 1e-300)
	}
}

// effective is the sum of some weights and how many members they amount to.
func effective(weights []float64) (sum, mu float64) {
	squares := 0.0
	for _, w := range weights {
		sum, squares = sum+w, squares+w*w
	}
	return sum, sum * sum / max(squares, 1e-300)
}

// decompose finds the axes of the distribution. What rounding made negative is
// lifted above zero.
func (e *evolution) decompose() {
	var eigen mat.EigenSym
	eigen.Factorize(e.cov, true)
	eigen.VectorsTo(&e.axes)
	e.lengths = eigen.Values(nil)
	for i, v := range e.lengths {
		e.lengths[i] = math.Sqrt(max(v, 1e-20))
	}
}

// at is where a draw of the standard normal distribution is in this one.
func (e *evolution) at(z []float64) []float64 {
	long := make([]float64, len(z))
	for i := range z {
		long[i] = z[i] * e.lengths[i]
	}
	x := e.rotate(long)
	for i := range x {
		x[i] = e.mean[i] + e.sigma*e.stretch[i]*x[i]
	}
	return x
}

// normal draws from the standard normal distribution.
func normal(n int, r *rand.Rand) []float64 {
	z := make([]float64, n)
	for i := range z {
		z[i] = r.NormFloat64()
	}
	return z
}

// orthogonal are n draws that are at right angles to each other and each of them
// as long as by chance: the members of a generation learn more of the space from
// so few steps (Wang, Emmerich and Back 2014).
func orthogonal(n int, r *rand.Rand) [][]float64 {
	out := make([][]float64, n)
	for k := range out {
		z := normal(n, r)
		length := norm(z)
		for _, other := range out[:k] {
			along := dot(z, other) / dot(other, other)
			for i := range z {
				z[i] -= along * other[i]
			}
		}
		scale := length / max(norm(z), 1e-300)
		for i := range z {
			z[i] *= scale
		}
		out[k] = z
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func (e *evolution) rotate(z []float64) []float64 {
	x := make([]float64, len(z))
	mat.NewVecDense(len(x), x).MulVec(&e.axes, mat.NewVecDense(len(z), z))
	return x
}

// step is a position as a step from the mean in units of sigma. One of an earlier
// distribution may be far away; it is shortened to what a draw is at most, for it
// would tear the shape apart (Hansen 2011, on injected solutions).
func (e *evolution) step(x []float64) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = (x[i] - e.mean[i]) / (e.sigma * e.stretch[i])
	}
	n := float64(len(x))
	if far := norm(e.whiten(y)) / (math.Sqrt(n) + 2*n/(n+2)); far > 1 {
		for i := range y {
			y[i] /= far
		}
	}
	return y
}

// update learns from the steps of a generation, the best first, and their losses.
func (e *evolution) update(steps [][]float64, losses []float64) {
	n := len(e.mean)
	mean := make([]float64, n)
	for k, w := range e.weights[:max(e.size/2, 1)] {
		for i := range mean {
			mean[i] += w * steps[k][i]
		}
	}
	for i := range mean {
		e.mean[i] = min(max(e.mean[i]+e.sigma*e.stretch[i]*mean[i], 0), 1)
	}
	e.generations++
	e.history = append(e.history, losses[0])
	still := e.paths(mean)
	e.shape(steps, still)
	e.sigma = min(e.sigma*math.Exp(min(1, e.cs/e.damp*(norm(e.pathS)/e.chi-1))), 10)
	e.decompose()
}

// paths lengthens the evolution paths by a step of the mean. It is 1, or 0 when
// the path is so long that the shape is to wait for sigma.
func (e *evolution) paths(mean []float64) float64 {
	white := e.rotate(e.whiten(mean))
	for i := range white {
		e.pathS[i] = (1-e.cs)*e.pathS[i] + math.Sqrt(e.cs*(2-e.cs)*e.mu)*white[i]
	}
	n, still := float64(len(mean)), 0.0
	if norm(e.pathS)/math.Sqrt(1-math.Pow(1-e.cs, 2*float64(e.generations))) < (1.4+2/(n+1))*e.chi {
		still = 1
	}
	for i := range mean {
		e.pathC[i] = (1-e.cc)*e.pathC[i] + still*math.Sqrt(e.cc*(2-e.cc)*e.mu)*mean[i]
	}
	return still
}

// whiten is a step along the axes of the distribution, in their lengths.
func (e *evolution) whiten(step []float64) []float64 {
	white := make([]float64, len(step))
	mat.NewVecDense(len(white), white).MulVec(e.axes.T(), mat.NewVecDense(len(step), step))
	for i := range white {
		white[i] /= e.lengths[i]
	}
	return white
}

// shape moves the covariance towards the path and the steps that were good, and
// away from those that were bad: these by no more than a typical length.
func (e *evolution) shape(steps [][]float64, still float64) {
	n, sum := float64(len(e.mean)), 0.0
	weights := slices.Clone(e.weights)
	for k, w := range weights {
		sum += w
		if w < 0 {
			weights[k] *= n / max(square(norm(e.whiten(steps[k]))), 1e-300)
		}
	}
	keep := 1 - e.c1 - e.cmu*sum + (1-still)*e.c1*e.cc*(2-e.cc)
	for i := range e.mean {
		for j := range i + 1 {
			v := keep*e.cov.At(i, j) + e.c1*e.pathC[i]*e.pathC[j]
			for k, w := range weights {
				v += e.cmu * w * steps[k][i] * steps[k][j]
			}
			e.cov.SetSym(i, j, v)
		}
	}
}

// The limits at which a run has nothing more to find.
const (
	flat      = 1e-12 // of the best losses of recent generations, and of the spread in the cube
	condition = 1e14  // of the covariance
)

// converged says whether the run is at its end.
func (e *evolution) converged() bool {
	longest, shortest := e.lengths[len(e.lengths)-1], e.lengths[0]
	if e.sigma*longest < flat || square(longest/shortest) > condition {
		return true
	}
	recent := 10 + 30*len(e.mean)/e.size
	if e.generations < recent {
		return false
	}
	least, most := math.Inf(1), math.Inf(-1)
	for _, l := range e.history[len(e.history)-recent:] {
		least, most = min(least, l), max(most, l)
	}
	return !(most-least > flat*max(1, math.Abs(least)))
}

// keepMoving is the margin: a finite dimension keeps a chance of 1/(size x
// dimensions) to leave the value its mean is at.
func (e *evolution) keepMoving(j int, d *dim) {
	if d.levels < 2 {
		return
	}
	alpha := 1 / float64(e.size*len(e.mean))
	spread := e.sigma * e.stretch[j] * math.Sqrt(e.cov.At(j, j))
	level := d.level(e.mean[j])
	lo, hi := d.cell(level)
	switch level {
	case 0:
		e.mean[j] = max(e.mean[j], hi+spread*normalQuantile(alpha))
	case d.levels - 1:
		e.mean[j] = min(e.mean[j], lo-spread*normalQuantile(alpha))
	default:
		e.widen(j, lo, hi, alpha/2)
	}
}

// widen moves and stretches dimension j so that at least alpha is on either side
// of the cell from lo to hi.
func (e *evolution) widen(j int, lo, hi, alpha float64) {
	spread := e.sigma * e.stretch[j] * math.Sqrt(e.cov.At(j, j))
	left, right := normalBelow((lo-e.mean[j])/spread), normalBelow((e.mean[j]-hi)/spread)
	if left >= alpha && right >= alpha {
		return
	}
	below, above := normalQuantile(max(left, alpha)), normalQuantile(max(right, alpha))
	wide := (hi - lo) / -(below + above)
	if wide <= 0 || math.IsInf(wide, 0) || math.IsNaN(wide) {
		return
	}
	e.stretch[j] *= wide / spread
	e.mean[j] = lo - wide*below
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func chance(n int, r *rand.Rand) []float64 {
	u := make([]float64, n)
	for i := range u {
		u[i] = r.Float64()
	}
	return u
}
