// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gp is Bayesian optimisation in the unit cube: numbers in, numbers out.
//
//	points, losses ──warp, fit──► model of each objective ┐
//	failures ───────────fit─────► model of what works     ├─ acquisition ──hunt──► the next point
//	pending points ─────────────► believed                ┘
//
// A model is a Gaussian process with a Matern 5/2 kernel and a length scale for
// each axis. What the user counts as one value is one point to it: numbers with
// steps are rounded before the kernel sees them, words are equal or not, and a
// coordinate that does not exist is as far from one that does as two words are.
// Length scales, noise and the warp of the values are those of the highest
// posterior density; mean and variance have closed forms.
//
// The acquisition is the logarithm of the expected improvement or, of several
// objectives, of the expected improvement of the hypervolume, both exact and
// with gradients. It is searched from points all over the cube and around the
// best known. A pending point is believed to bring a deviation less than the model
// expects of it: that lowers the uncertainty and what is expected there, so that a
// batch spreads.
//
// Beyond 256 points a model is made of half the best and half an even choice of
// the others: proposals take as long with 10,000 trials as with 300.
//
// The same evidence and the same random stream give the same point on machines
// of one architecture; floating-point units of others may round differently.
package gp
