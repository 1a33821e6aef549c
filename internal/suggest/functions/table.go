// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"math"
	"strconv"

	"github.com/millrace-ml/millrace/internal/suggest"
)

var all = []Function{
	{Name: "Branin", Space: box(side{-5, 10}, side{0, 15}), Optimum: 0.39788735772973816, value: branin},
	{Name: "Hartmann3", Space: cube(3, 0, 1), Optimum: -3.86278214782076, value: hartmann(hartmann3)},
	{Name: "Hartmann6", Space: cube(6, 0, 1), Optimum: -3.322368011415515, value: hartmann(hartmann6)},
	{Name: "Rosenbrock2", Space: cube(2, -5, 10), value: rosenbrock},
	{Name: "Rosenbrock5", Space: cube(5, -5, 10), value: rosenbrock},
	{Name: "Levy5", Space: cube(5, -10, 10), value: levy},
	{Name: "Ackley5", Space: cube(5, -32.768, 32.768), value: ackley},
	{Name: "Rastrigin3", Space: cube(3, -5.12, 5.12), value: rastrigin},
	{Name: "StyblinskiTang4", Space: cube(4, -5, 5), Optimum: -39.16616570377142 * 4, value: styblinskiTang},
	{Name: "SixHumpCamel", Space: box(side{-3, 3}, side{-2, 2}), Optimum: -1.031628453489877, value: sixHumpCamel},
	{Name: "Griewank4", Space: cube(4, -600, 600), value: griewank},
	{Name: "Michalewicz5", Space: cube(5, 0, math.Pi), Optimum: -4.687658179088148, value: michalewicz},
	{Name: "Shekel4", Space: cube(4, 0, 10), Optimum: -10.53640981669205, value: shekel},
	{Name: "MixedScale2", Space: box(side{0, 0.1}, side{0, 512}), value: mixedScale},
	{Name: "Mixed6", Space: mixedSpace, value: mixed},
}

type side struct{ min, max float64 }

// box is a space of doubles x1, x2 and so on.
func box(sides ...side) suggest.Space {
	var s suggest.Space
	for i, b := range sides {
		s.Parameters = append(s.Parameters, suggest.Parameter{Name: "x" + strconv.Itoa(i+1), Type: suggest.Double, Min: b.min, Max: b.max})
	}
	return s
}

func cube(n int, lo, hi float64) suggest.Space {
	sides := make([]side, n)
	for i := range sides {
		sides[i] = side{lo, hi}
	}
	return box(sides...)
}

func square(v float64) float64 { return v * v }

func branin(p point) float64 {
	x, y := p.x[0], p.x[1]
	return square(y-5.1/(4*math.Pi*math.Pi)*x*x+5/math.Pi*x-6) + 10*(1-1/(8*math.Pi))*math.Cos(x) + 10
}

func rosenbrock(p point) float64 {
	sum := 0.0
	for i := range len(p.x) - 1 {
		sum += 100*square(p.x[i+1]-p.x[i]*p.x[i]) + square(1-p.x[i])
	}
	return sum
}

func levy(p point) float64 {
	w := make([]float64, len(p.x))
	for i, x := range p.x {
		w[i] = 1 + (x-1)/4
	}
	last := w[len(w)-1]
	sum := square(math.Sin(math.Pi*w[0])) + square(last-1)*(1+square(math.Sin(2*math.Pi*last)))
	for _, v := range w[:len(w)-1] {
		sum += square(v-1) * (1 + 10*square(math.Sin(math.Pi*v+1)))
	}
	return sum
}

func ackley(p point) float64 {
	squares, waves, n := 0.0, 0.0, float64(len(p.x))
	for _, x := range p.x {
		squares += x * x
		waves += math.Cos(2 * math.Pi * x)
	}
	return -20*math.Exp(-0.2*math.Sqrt(squares/n)) - math.Exp(waves/n) + 20 + math.E
}

func rastrigin(p point) float64 {
	sum := 0.0
	for _, x := range p.x {
		sum += x*x - 10*math.Cos(2*math.Pi*x) + 10
	}
	return sum
}

func styblinskiTang(p point) float64 {
	sum := 0.0
	for _, x := range p.x {
		sum += (x*x*x*x - 16*x*x + 5*x) / 2
	}
	return sum
}

func sixHumpCamel(p point) float64 {
	x, y := p.x[0], p.x[1]
	return (4-2.1*x*x+x*x*x*x/3)*x*x + x*y + (-4+4*y*y)*y*y
}

func griewank(p point) float64 {
	sum, product := 0.0, 1.0
	for i, x := range p.x {
		sum += x * x / 4000
		product *= math.Cos(x / math.Sqrt(float64(i+1)))
	}
	return sum - product + 1
}

func michalewicz(p point) float64 {
	sum := 0.0
	for i, x := range p.x {
		sum -= math.Sin(x) * math.Pow(math.Sin(float64(i+1)*x*x/math.Pi), 20)
	}
	return sum
}

// mixedScale is a sphere of a learning rate and a batch size: an algorithm that
// does not normalise its parameters never moves the first.
func mixedScale(p point) float64 {
	return square(p.x[0]/0.1-0.3) + square(p.x[1]/512-0.7)
}
