package report

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"example.com/redislock/bench/internal/measure"
)

// chart is a picture of one quantity of a section: over its places, or as a distribution of its values.
type chart struct {
	file, title       string
	section, quantity string
	x                 string // the label of the places
	yLog, cdf         bool
}

const (
	width, height = 24 * vg.Centimeter, 13 * vg.Centimeter
	// cdfPoints bounds a line of a distribution, however many samples there are.
	cdfPoints = 120
)

// look is how a subject is drawn, the same in every chart.
type look struct {
	color  color.RGBA
	dashes []vg.Length
	glyph  draw.GlyphDrawer
	width  vg.Length
}

// Colours that colour-blind people can tell apart too (Okabe and Ito). A variant is dashed, in the colour of its library.
var looks = map[string]look{
	"redislock":     {color.RGBA{0, 114, 178, 255}, nil, draw.CircleGlyph{}, 2.6},
	"bsm/redislock": {color.RGBA{213, 94, 0, 255}, nil, draw.SquareGlyph{}, 1.4},
	"redsync":       {color.RGBA{0, 158, 115, 255}, nil, draw.TriangleGlyph{}, 1.4},
	"rueidislock":   {color.RGBA{204, 121, 167, 255}, nil, draw.PyramidGlyph{}, 1.8},

	twoNoops:           {color.RGBA{40, 40, 40, 255}, dotted, draw.CrossGlyph{}, 1.2},
	floorUnfencedPlain: {color.RGBA{120, 120, 120, 255}, dotted, draw.PlusGlyph{}, 1.2},
	floorPing:          {color.RGBA{165, 165, 165, 255}, dotted, draw.RingGlyph{}, 1.2},
	bare:               {color.RGBA{40, 40, 40, 255}, dotted, draw.PlusGlyph{}, 1.6},
}

var (
	greys  = []color.RGBA{{60, 60, 60, 255}, {110, 110, 110, 255}, {150, 150, 150, 255}, {85, 85, 85, 255}}
	spare  = []color.RGBA{{230, 159, 0, 255}, {86, 180, 233, 255}, {140, 86, 75, 255}}
	dashed = []vg.Length{vg.Points(5), vg.Points(3)}
	dotted = []vg.Length{vg.Points(1.5), vg.Points(2.5)}
)

func lookOf(subject string) look {
	if l, ok := looks[subject]; ok {
		return l
	}
	family, _, variant := strings.Cut(subject, ", ")
	if l, ok := looks[family]; ok && variant {
		l.dashes, l.width = dashed, 1.2
		return l
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(subject))
	n := int(h.Sum32() % 1024)
	if kindOf(subject) == floor {
		return look{greys[n%len(greys)], dotted, draw.CrossGlyph{}, 1.2}
	}
	return look{spare[n%len(spare)], nil, draw.PlusGlyph{}, 1.4}
}

// draw returns the SVG, and what could not be drawn in it. It is empty if there is nothing to draw.
func (r *Run) draw(c chart) (svg []byte, left []string, err error) {
	p, left, err := r.plot(c)
	if err != nil || p == nil {
		return nil, left, err
	}
	canvas := vgsvg.New(width, height)
	paint(p, draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, nil, err
	}
	// A viewer without the font uses one with the same widths, or any without serifs.
	text := strings.ReplaceAll(out.String(), "font-family:Liberation Sans", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif")
	return []byte(text), left, nil
}

// plot is what draw draws; nil if there is nothing.
func (r *Run) plot(c chart) (p *plot.Plot, left []string, err error) {
	p = plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.quantity
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	if c.cdf {
		p.Y.Label.Text = "share of all, %"
		p.Y.Min, p.Y.Max = 0, 100
		p.Legend.Left = false
	} else if c.yLog {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	}
	for _, s := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font,
		&p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		s.Typeface, s.Variant, s.Size = "Liberation", "Sans", vg.Points(11)
	}
	p.Title.TextStyle.Font.Size = vg.Points(14)
	if !c.cdf {
		if xs := r.Log.Xs(c.section, c.quantity); len(xs) <= 10 {
			p.X.Tick.Marker = plot.TickerFunc(func(float64, float64) []plot.Tick { return places(xs) })
		}
	}
	p.Title.Padding, p.Legend.Padding = vg.Points(6), vg.Points(2)
	p.Legend.Top, p.Legend.XOffs, p.Legend.ThumbnailWidth = true, -vg.Points(4), vg.Points(28)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.RGBA{225, 225, 225, 255}, color.RGBA{225, 225, 225, 255}
	p.Add(grid)

	subjects := r.subjects(c.section, c.quantity)
	slices.Reverse(subjects) // ours is drawn last, over the others
	legend := map[string][]plot.Thumbnailer{}
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range subjects {
		points, skipped := r.points(c, s)
		left = append(left, skipped...)
		if len(points) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, nil, err
		}
		l := lookOf(s)
		line.Color, line.Dashes, line.Width = l.color, l.dashes, vg.Points(float64(l.width))
		p.Add(line)
		legend[s] = []plot.Thumbnailer{line}
		if !c.cdf {
			marks.Color, marks.Shape, marks.Radius = l.color, l.glyph, vg.Points(3.2)
			p.Add(marks)
			legend[s] = append(legend[s], marks)
		}
		for _, point := range points {
			low, high = min(low, point.X), max(high, point.X)
		}
	}
	if len(legend) == 0 {
		return nil, left, nil
	}
	slices.Reverse(subjects)
	for _, s := range subjects {
		if t := legend[s]; t != nil {
			p.Legend.Add(s+"  ", t...) // the text ends where the line begins
		}
	}
	if low == high { // one place: a scale needs two
		low, high = low/2, high*2
	}
	p.X.Min, p.X.Max = low, high
	return p, left, nil
}

// paint lays the legend in a column of its own beside the plot, so that it never covers a line, on a white card that can be read on
// a dark page too.
func paint(p *plot.Plot, whole draw.Canvas) {
	whole.SetColor(color.White)
	whole.Fill(whole.Rectangle.Path())
	legend := p.Legend
	p.Legend = plot.NewLegend()
	column := legend.Rectangle(whole).Size().X + vg.Points(16)
	p.Draw(draw.Crop(whole, vg.Points(8), -column, vg.Points(6), -vg.Points(6)))
	legend.Draw(draw.Crop(whole, 0, -vg.Points(8), 0, -vg.Points(30)))
}

// points are the points of one subject. A logarithmic axis has no place for 0, so such points are left out and
// reported.
func (r *Run) points(c chart, subject string) (points plotter.XYs, left []string) {
	if c.cdf {
		values := r.Log.Values(measure.Key{Section: c.section, Subject: subject, Quantity: c.quantity})
		for i := range min(cdfPoints, len(values)) {
			share := float64(i) / float64(max(1, min(cdfPoints, len(values))-1))
			if v := measure.Quantile(values, share); v > 0 {
				points = append(points, plotter.XY{X: round(v), Y: round(100 * share)})
			}
		}
		return points, nil
	}
	for _, x := range r.Log.Xs(c.section, c.quantity) {
		m := r.median(c.section, subject, c.quantity, x)
		switch {
		case math.IsNaN(m):
		case x <= 0 || c.yLog && m <= 0 || math.IsInf(m, 0):
			left = append(left, fmt.Sprintf("%s at %s: %s", subject, thousands(x), number(m)))
		default:
			points = append(points, plotter.XY{X: x, Y: round(m)})
		}
	}
	return points, left
}

// round keeps five digits, which is more than a picture shows.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-4)
	return math.Round(v/unit) * unit
}

// decades are ticks of a logarithmic axis: labelled at 1, and where few decades are shown at 2 and 5 as well.
func decades(low, high float64) (ticks []plot.Tick) {
	low, high = max(low, 1e-9), max(high, 1e-9)
	wide := math.Log10(high/low) > 3
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 3, 4, 5, 6, 7, 8, 9} {
			v := m * math.Pow(10, e)
			if v < low*0.999 || v > high*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 || !wide && (m == 2 || m == 5) {
				t.Label = tickLabel(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// places are ticks where something was measured.
func places(xs []float64) (ticks []plot.Tick) {
	for _, x := range xs {
		if x > 0 {
			ticks = append(ticks, plot.Tick{Value: x, Label: tickLabel(x)})
		}
	}
	return ticks
}

func tickLabel(v float64) string {
	if v >= 1 {
		return thousands(v)
	}
	return fmt.Sprintf("%.4g", v)
}
