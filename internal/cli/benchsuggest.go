// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/suggest/functions"
)

// asMarkdown is a table for a page of documentation.
const asMarkdown format = "markdown"

// benchSuggest measures search algorithms with functions whose minimum is known.
type benchSuggest struct {
	*Program
	functions, algorithms   []string
	seeds, trials, parallel int
	format                  format
}

// measurement is what one algorithm came to on one function.
type measurement struct {
	Function  string `json:"function"`
	Algorithm string `json:"algorithm"`
	Trials    int    `json:"trials"`
	Parallel  int    `json:"parallel"`
	Seeds     int    `json:"seeds"`
	// Quartiles of the regret, over the seeds.
	Lower  float64 `json:"lowerQuartile"`
	Median float64 `json:"median"`
	Upper  float64 `json:"upperQuartile"`
	// MillisecondsPerTrial is the time that proposals took, on average.
	MillisecondsPerTrial float64 `json:"millisecondsPerTrial"`
	// Refused is why the algorithm cannot search the function; the numbers are 0 then.
	Refused string `json:"refused,omitempty"`
}

func newBenchSuggest(p *Program) *cobra.Command {
	cmd := &benchSuggest{Program: p, seeds: 20, trials: 100, parallel: 1, format: asTable}
	c := &cobra.Command{
		Use:   "bench-suggest",
		Short: "Measure search algorithms with functions whose minimum is known",
		Long: `Measure search algorithms with functions whose minimum is known.

A number is a regret: how far the best of the trials is from the minimum, in the median over the seeds. It needs
no cluster, and the same call gives the same numbers, but for the last line: the time that a proposal took.`,
		Example: `  mill bench-suggest
  mill bench-suggest --functions Branin,Hartmann6 --algorithms MultivariateTPE --trials 200
  mill bench-suggest --algorithms BayesianOptimization --parallel 8
  mill bench-suggest -o markdown > search-quality.md`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return cmd.run(c.Context()) },
	}
	flags := c.Flags()
	flags.StringSliceVar(&cmd.functions, "functions", nil, "functions to search; all when left out")
	flags.StringSliceVar(&cmd.algorithms, "algorithms", nil, "algorithms to measure; when left out all that search one of the functions, whose trials have no stages")
	flags.IntVar(&cmd.seeds, "seeds", cmd.seeds, "searches of each function")
	flags.IntVar(&cmd.trials, "trials", cmd.trials, "trials of each search")
	flags.IntVar(&cmd.parallel, "parallel", cmd.parallel, "trials that run at once")
	flags.VarP(further{&cmd.format, asMarkdown}, "output", "o", "output format")
	complete(c, "output", append([]string{string(asMarkdown)}, formats...)...)
	complete(c, "functions", titles(functions.All(), func(f functions.Function) string { return f.Name })...)
	complete(c, "algorithms", titles(suggest.Algorithms(), func(a suggest.Algorithm) string { return a.Name })...)
	return c
}

func titles[T any](rows []T, title func(T) string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = title(row)
	}
	return out
}

func (b *benchSuggest) run(ctx context.Context) error {
	if b.seeds < 1 || b.trials < 1 || b.parallel < 1 {
		return usagef("--seeds, --trials and --parallel have to be at least 1")
	}
	rows, err := b.chosen()
	if err != nil {
		return err
	}
	columns, err := b.compared(rows)
	if err != nil {
		return err
	}
	all, err := b.measureAll(ctx, rows, columns)
	if err != nil {
		return err
	}
	if b.format == asYAML || b.format == asJSON {
		return writeDocument(b.Out, b.format, map[string]any{"items": all})
	}
	b.tabulate(all, len(columns))
	return nil
}

func (b *benchSuggest) chosen() ([]functions.Function, error) {
	if len(b.functions) == 0 {
		return functions.All(), nil
	}
	var out []functions.Function
	for _, name := range b.functions {
		f, ok := functions.Find(name)
		if !ok {
			known := titles(functions.All(), func(f functions.Function) string { return f.Name })
			return nil, usagef("there is no function %q: use some of %s", name, strings.Join(known, ", "))
		}
		out = append(out, f)
	}
	return out, nil
}

// compared are the names of the algorithms, as the API has them.
func (b *benchSuggest) compared(rows []functions.Function) ([]string, error) {
	if len(b.algorithms) == 0 {
		return able(rows), nil
	}
	var out []string
	for _, name := range b.algorithms {
		a, ok := suggest.Find(name)
		if !ok {
			known := titles(suggest.Algorithms(), func(a suggest.Algorithm) string { return a.Name })
			return nil, usagef("there is no algorithm %q: use some of %s", name, strings.Join(known, ", "))
		}
		out = append(out, a.Name)
	}
	return out, nil
}

// able are the algorithms that can search some function. A function says nothing about those whose trials have stages.
func able(rows []functions.Function) []string {
	var out []string
	for _, a := range suggest.Algorithms() {
		can := slices.ContainsFunc(rows, func(f functions.Function) bool { return len(suggest.Validate(f.Problem(a.Name, 0))) == 0 })
		if can && !a.Staged {
			out = append(out, a.Name)
		}
	}
	return out
}

// measureAll measures row by row, as many at once as there are processors.
func (b *benchSuggest) measureAll(ctx context.Context, rows []functions.Function, columns []string) ([]measurement, error) {
	out := make([]measurement, len(rows)*len(columns))
	errs := make([]error, len(out))
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for i := range out {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			out[i], errs[i] = b.measure(ctx, rows[i/len(columns)], columns[i%len(columns)])
		})
	}
	all.Wait()
	return out, firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *benchSuggest) measure(ctx context.Context, f functions.Function, algorithm string) (measurement, error) {
	m := measurement{Function: f.Name, Algorithm: algorithm, Trials: b.trials, Parallel: b.parallel, Seeds: b.seeds}
	if faults := suggest.Validate(f.Problem(algorithm, 0)); len(faults) > 0 {
		m.Refused = faults[0].String()
		return m, nil
	}
	var last []float64
	trials, start := 0, b.Now()
	for seed := range uint64(b.seeds) {
		if ctx.Err() != nil {
			return m, ctx.Err()
		}
		regrets, err := f.Minimize(f.Problem(algorithm, seed), b.trials, b.parallel)
		if err != nil {
			return m, err
		}
		trials += len(regrets)
		last = append(last, regrets[len(regrets)-1])
	}
	m.MillisecondsPerTrial = float64(b.Now().Sub(start)) / float64(time.Millisecond) / float64(trials)
	m.Lower, m.Median, m.Upper = functions.Quantile(last, 0.25), functions.Quantile(last, 0.5), functions.Quantile(last, 0.75)
	return m, nil
}

// tabulate writes a row for each function and, last, the time of a proposal.
func (b *benchSuggest) tabulate(all []measurement, columns int) {
	t := &table{header: []string{"FUNCTION"}}
	slowest := make([]float64, columns)
	for i, m := range all {
		if i < columns {
			t.header = append(t.header, strings.ToUpper(m.Algorithm))
		}
		if i%columns == 0 {
			t.add(m.Function)
		}
		cell := "-"
		if m.Refused == "" {
			cell = strconv.FormatFloat(m.Median, 'g', 3, 64)
		}
		t.rows[len(t.rows)-1] = append(t.rows[len(t.rows)-1], cell)
		slowest[i%columns] = max(slowest[i%columns], m.MillisecondsPerTrial)
	}
	t.add("ms per trial")
	for _, ms := range slowest {
		t.rows[len(t.rows)-1] = append(t.rows[len(t.rows)-1], strconv.FormatFloat(ms, 'g', 2, 64))
	}
	if b.format != asMarkdown {
		t.write(b.Out, "")
		return
	}
	rule := strings.Repeat("|---", columns+1) + "|\n"
	fmt.Fprintf(b.Out, "| %s |\n%s", strings.Join(t.header, " | "), rule)
	for _, row := range t.rows {
		fmt.Fprintf(b.Out, "| %s |\n", strings.Join(row, " | "))
	}
}
