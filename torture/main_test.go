package torture

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// atOnce is how many rows are played at the same time, as they wait most of the time.
const atOnce = "3"

func TestMain(m *testing.M) {
	workIfTold()
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	before := goleak.IgnoreCurrent()
	code := m.Run()
	err := goleak.Find(before)
	for until := time.Now().Add(patience); err != nil && time.Now().Before(until); { // go-redis: see the workers' end
		time.Sleep(100 * time.Millisecond)
		err = goleak.Find(before)
	}
	if err != nil {
		fmt.Println("goroutines were left:", err)
		code = 1
	}
	os.Exit(code)
}
