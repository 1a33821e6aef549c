// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"math"

	"github.com/millrace-ml/millrace/internal/suggest"
)

// wells are the rows of Hartmann's functions: how steep and where each well is.
type wells struct{ steep, at [][]float64 }

var hartmannDepth = []float64{1, 1.2, 3, 3.2}

var hartmann3 = wells{
	steep: [][]float64{{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}},
	at: [][]float64{
		{0.3689, 0.1170, 0.2673}, {0.4699, 0.4387, 0.7470}, {0.1091, 0.8732, 0.5547}, {0.0381, 0.5743, 0.8828},
	},
}

var hartmann6 = wells{
	steep: [][]float64{
		{10, 3, 17, 3.5, 1.7, 8}, {0.05, 10, 17, 0.1, 8, 14}, {3, 3.5, 1.7, 10, 17, 8}, {17, 8, 0.05, 10, 0.1, 14},
	},
	at: [][]float64{
		{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
		{0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
		{0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
		{0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381},
	},
}

func hartmann(w wells) func(point) float64 {
	return func(p point) float64 {
		sum := 0.0
		for i, depth := range hartmannDepth {
			exponent := 0.0
			for j, x := range p.x {
				exponent += w.steep[i][j] * square(x-w.at[i][j])
			}
			sum -= depth * math.Exp(-exponent)
		}
		return sum
	}
}

var shekelWells = []struct {
	width float64
	at    []float64
}{
	{0.1, []float64{4, 4, 4, 4}},
	{0.2, []float64{1, 1, 1, 1}},
	{0.2, []float64{8, 8, 8, 8}},
	{0.4, []float64{6, 6, 6, 6}},
	{0.4, []float64{3, 7, 3, 7}},
	{0.6, []float64{2, 9, 2, 9}},
	{0.3, []float64{5, 5, 3, 3}},
	{0.7, []float64{8, 1, 8, 1}},
	{0.5, []float64{6, 2, 6, 2}},
	{0.5, []float64{7, 3.6, 7, 3.6}},
}

func shekel(p point) float64 {
	sum := 0.0
	for _, w := range shekelWells {
		below := w.width
		for j, x := range p.x {
			below += square(x - w.at[j])
		}
		sum -= 1 / below
	}
	return sum
}

// mixedSpace is what a network is tuned by: two categories, two whole numbers
// and two doubles on a logarithmic scale.
var mixedSpace = suggest.Space{Parameters: []suggest.Parameter{
	{Name: "optimizer", Type: suggest.Categorical, Values: []string{"sgd", "adam", "rmsprop"}},
	{Name: "activation", Type: suggest.Categorical, Values: []string{"relu", "tanh", "gelu", "silu"}},
	{Name: "layers", Type: suggest.Int, Min: 1, Max: 8},
	{Name: "width", Type: suggest.Int, Min: 16, Max: 512},
	{Name: "lr", Type: suggest.Double, Min: 1e-5, Max: 1, Distribution: suggest.LogUniform},
	{Name: "decay", Type: suggest.Double, Min: 1e-6, Max: 1e-1, Distribution: suggest.LogUniform},
}}

// The best learning rate of each optimizer, in decades, and what a choice costs.
var (
	bestRate       = map[string]float64{"sgd": -1, "adam": -3, "rmsprop": -3.5}
	optimizerCost  = map[string]float64{"sgd": 0.15, "adam": 0, "rmsprop": 0.1}
	activationCost = map[string]float64{"relu": 0.1, "tanh": 0.3, "gelu": 0, "silu": 0.05}
)

// mixed is 0 for adam, gelu, 5 layers, a width of 200, a rate of 1e-3 and a decay of 1e-4.
func mixed(p point) float64 {
	optimizer, layers, width, rate, decay := p.words["optimizer"], p.x[2], p.x[3], math.Log10(p.x[4]), math.Log10(p.x[5])
	cost := optimizerCost[optimizer] + activationCost[p.words["activation"]]
	cost += 0.1*square(layers-5)/4 + square((width-200)/250)
	return cost + 0.3*square(rate-bestRate[optimizer]) + 0.05*square(decay+4)
}
