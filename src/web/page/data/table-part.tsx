/** The first rows of the visitor's table: a click on a heading says what its column is. */
import { ScrollArea } from "../../../views/components.tsx";
import type { DataReport } from "../../protocol.ts";
import { Select } from "../shared/controls.tsx";
import { mark, type Role, roleOf, rolesFor } from "./columns.ts";

const ROLES: Readonly<Record<Role, string>> = {
  text: "text",
  second: "second text",
  label: "label",
  unused: "not used",
};

const order = ({ readAs }: Pick<DataReport["columns"][number], "readAs">) =>
  readAs === "text" ? 0 : readAs === "label" ? 1 : 2;

export function TablePart({ columns, rows }: Pick<DataReport, "columns" | "rows">) {
  // What is read is in sight.
  const shown = columns.map(({ name, readAs }, i) => ({ name, readAs, i })).sort((a, b) => order(a) - order(b));
  return (
    <ScrollArea label="The first rows" kind="first-rows">
      <table id="columns">
        <thead>
          <tr>
            {shown.map(({ name, i }) => (
              <th key={i} scope="col" class={roleOf(name)}>
                <label for={`column-${i}`}>
                  <bdi>{name}</bdi>
                  <Select
                    id={`column-${i}`}
                    value={roleOf(name)}
                    take={(role) => mark(name, role as Role)}
                    options={rolesFor(name).map((role) => [role, ROLES[role]] as const)}
                  />
                </label>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, r) => (
            <tr key={r}>
              {shown.map(({ name, i }) => (
                <td key={i} class={roleOf(name)} dir="auto" title={row[i]}>
                  {row[i]}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollArea>
  );
}
