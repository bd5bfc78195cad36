/** Everything in one script, for a page without a build: the global `trimtab` and `<trimtab-thumbs>`. */

export * from "./index";
import "./thumbs";
